using System;
using System.Linq;
using System.Text;

namespace Tokencache.Benches;

/// <summary>Keys of 73 characters, values of 7,000 bytes, and an order of reads that follows Zipf 0.99.</summary>
internal sealed class Workload
{
    public const int ValueBytes = 7000;

    private const int Reads = 1 << 18;

    public Workload(int entries)
    {
        Random random = new(9);
        Stored = [.. Enumerable.Range(0, entries).Select(_ => $"{Id(random)}.{Id(random)}")];
        // A request asks with an equal text that is another object than the stored one.
        Asked = [.. Stored.Select(key => new string(key.AsSpan()))];
        Utf8 = [.. Stored.Select(Encoding.UTF8.GetBytes)];
        Order = Zipf(entries, random);
    }

    public string[] Stored { get; }

    public string[] Asked { get; }

    public byte[][] Utf8 { get; }

    /// <summary>Which entry each read is for; a power of two of them.</summary>
    public int[] Order { get; }

    /// <summary>A value of its own for whoever asks.</summary>
    public static byte[] Value(int entry)
    {
        byte[] value = new byte[ValueBytes];
        value[0] = (byte)entry;
        value[^1] = (byte)(entry >> 8);
        return value;
    }

    private static Guid Id(Random random)
    {
        byte[] bytes = new byte[16];
        random.NextBytes(bytes);
        return new Guid(bytes);
    }

    private static int[] Zipf(int entries, Random random)
    {
        double[] until = new double[entries];
        double sum = 0;
        for (int rank = 0; rank < entries; rank++)
        {
            until[rank] = sum += 1 / Math.Pow(rank + 1, 0.99);
        }
        int[] places = [.. Enumerable.Range(0, entries)];
        random.Shuffle(places);
        int Draw()
        {
            int found = Array.BinarySearch(until, random.NextDouble() * sum);
            return places[Math.Min(found < 0 ? ~found : found, entries - 1)];
        }
        return [.. Enumerable.Range(0, Reads).Select(_ => Draw())];
    }
}
