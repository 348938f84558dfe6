using System;
using System.Buffers;
using System.Buffers.Text;
using System.Diagnostics;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Threading;

namespace Tokencache.Benches;

/// <summary>A cache with a limit: how far the process grows beyond it, and whether the newest writes are kept.</summary>
internal static class Limits
{
    public const string Growth = "--growth";

    private const int LimitMiB = 64;
    private const int Newest = 1000;

    private static TokenCache Open() => TokenCache.Open(
        $$$"""{"version": 1, "l1": {"capacity_bytes": {{{LimitMiB << 20}}}}, "logging": {"to": "none"}}""");

    public static void Print(Bars bars)
    {
        foreach ((int threads, double most) in new[] { (1, 4.0), (4, 8.0) })
        {
            bars.Count($"MiB over a limit of {LimitMiB}, 200,000 sets, {threads} thread{(threads > 1 ? "s" : "")}", most, Grown(threads));
        }
        foreach (bool isHot in new[] { false, true })
        {
            bars.Count($"of the newest {Newest:N0} unread sets lost, cache full and {(isHot ? "hot" : "cold")}", 0, Lost(isHot));
        }
    }

    /// <summary>In a process of its own, whose heap nobody else has stretched.</summary>
    private static double Grown(int threads)
    {
        ProcessStartInfo start = new(Environment.ProcessPath!) { RedirectStandardOutput = true };
        foreach (string argument in new[] { typeof(Limits).Assembly.Location, Growth, threads.ToString(CultureInfo.InvariantCulture) })
        {
            start.ArgumentList.Add(argument);
        }
        using Process child = Process.Start(start)!;
        string printed = child.StandardOutput.ReadToEnd();
        child.WaitForExit();
        return double.Parse(printed, CultureInfo.InvariantCulture);
    }

    /// <summary>Stores unique values of 7,000 bytes, and prints by how many MiB the process grew beyond the limit.</summary>
    public static void PrintGrowth(int threads)
    {
        using TokenCache cache = Open();
        byte[] value = Workload.Value(1);
        Fill(cache, value, 0, 10);
        GC.Collect();
        File.WriteAllText("/proc/self/clear_refs", "5");
        long before = OfStatus("VmHWM:");
        int each = 200_000 / threads;
        Thread[] all = [.. Enumerable.Range(1, threads).Select(number => new Thread(() => Fill(cache, value, number * 1_000_000, each)))];
        Array.ForEach(all, it => it.Start());
        Array.ForEach(all, it => it.Join());
        double grown = (OfStatus("VmHWM:") - before) / 1024.0;
        Console.WriteLine((grown - LimitMiB).ToString("F1", CultureInfo.InvariantCulture));
    }

    private static int Lost(bool isHot)
    {
        using TokenCache cache = Open();
        byte[] value = Workload.Value(1);
        const int Full = 12_000, Unread = 20_000;
        Fill(cache, value, 0, Full);
        for (int time = 0; isHot && time < 3; time++)
        {
            Readable(cache, 0, Full);
        }
        Fill(cache, value, Full, Unread);
        return Newest - Readable(cache, Full + Unread - Newest, Newest);
    }

    private static void Fill(TokenCache cache, byte[] value, int from, int count)
    {
        Span<byte> key = stackalloc byte[73];
        for (int number = from; number < from + count; number++)
        {
            cache.Set(Key(key, number), value);
        }
    }

    private static int Readable(TokenCache cache, int from, int count)
    {
        Span<byte> key = stackalloc byte[73];
        int found = 0;
        for (int number = from; number < from + count; number++)
        {
            using TokenLease lease = cache.Peek(Key(key, number));
            found += lease.Found ? 1 : 0;
        }
        return found;
    }

    private static ReadOnlySpan<byte> Key(Span<byte> room, int number)
    {
        room.Fill((byte)'k');
        Utf8Formatter.TryFormat(number, room, out _, new StandardFormat('D', 12));
        return room;
    }

    /// <summary>Of this process, in KiB.</summary>
    private static long OfStatus(string member)
    {
        string line = File.ReadLines("/proc/self/status").First(line => line.StartsWith(member, StringComparison.Ordinal));
        return long.Parse(line[member.Length..^2], CultureInfo.InvariantCulture);
    }
}
