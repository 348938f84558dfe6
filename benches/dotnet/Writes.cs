using System.Collections.Concurrent;

namespace Tokencache.Benches;

/// <summary>Overwriting sets of 7,000 bytes over 10,000 entries.</summary>
internal static class Writes
{
    public static void Print(Bars bars, int rounds)
    {
        Workload load = new(10_000);
        ConcurrentDictionary<string, byte[]> dictionary = Peers.Dictionary(load);
        using TokenCache ours = Ours.Open(load);
        byte[] received = Workload.Value(1);
        foreach (int threads in new[] { 1, 2 })
        {
            Rounds it = Rounds.Run(
                [
                    Row.Of("dictionary", new Peers.SetDictionary(dictionary, load.Asked, received), load.Order, threads),
                    Row.Of("ours", new Ours.Set(ours, load.Asked, received), load.Order, threads),
                    Row.Of("raw", new Ours.RawSet(ours, load.Utf8, received), load.Order, threads),
                ],
                rounds);
            bars.AtMost(it, $"set, L1 ÷ ConcurrentDictionary and a new array, {threads} thread{(threads > 1 ? "s" : "")}", "ours", "dictionary", 0.35);
            Bars.Remark("  the call of the library alone", $"{it.Ratio("raw", "dictionary").Median:G3}; {Bars.Ns(it.Ns("raw"))}");
        }
    }
}
