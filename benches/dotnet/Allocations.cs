using System;
using System.Buffers;
using System.Runtime.CompilerServices;

namespace Tokencache.Benches;

/// <summary>Bytes that a million calls allocate on the managed heap.</summary>
internal static class Allocations
{
    private const int Calls = 1_000_000;

    private static int s_sum;

    public static void Print(Bars bars)
    {
        Workload load = new(1000);
        using TokenCache cache = Ours.Open(load);
        byte[] buffer = new byte[Workload.ValueBytes];
        ArrayBufferWriter<byte> writer = new(Workload.ValueBytes);
        Count(bars, "Peek, UTF-8 key", new Ours.PeekUtf8(cache, load.Utf8), load);
        Count(bars, "Peek, string key", new Ours.Peek(cache, load.Asked), load);
        Count(bars, "GetInto a span", new Ours.Into(cache, load.Asked, buffer), load);
        Count(bars, "TryGet with a span, into an IBufferWriter", new TryGet(cache, load.Utf8, writer), load);
        Count(bars, "TryGet, string key", new Ours.Writer(cache, load.Asked, writer), load);
        Count(bars, "TryGetAsync, completed when it returns", new TryGetAsync(cache, load.Asked, writer), load);
        Count(bars, "Set", new Ours.Set(cache, load.Asked, buffer), load);
    }

    private static void Count<T>(Bars bars, string what, T subject, Workload load)
        where T : struct, ISubject
    {
        // The runtime makes code better meanwhile, and may allocate for that: once, which is not in each of these.
        long allocated = long.MaxValue;
        for (int times = 0; times < 3; times++)
        {
            allocated = Math.Min(allocated, Allocated(subject, load.Order));
        }
        bars.Count($"bytes in 10⁶ calls of {what}", 0, allocated);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static long Allocated<T>(T subject, int[] order)
        where T : struct, ISubject
    {
        int sum = 0;
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int at = 0; at < Calls; at++)
        {
            sum += subject.Run(order[at & (order.Length - 1)]);
        }
        long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        s_sum += sum;
        return allocated;
    }

    private readonly struct TryGet(TokenCache cache, byte[][] keys, ArrayBufferWriter<byte> writer) : ISubject
    {
        public int Run(int entry)
        {
            writer.ResetWrittenCount();
            return cache.TryGet(keys[entry].AsSpan(), writer) ? writer.WrittenSpan[0] : throw new InvalidOperationException();
        }
    }

    private readonly struct TryGetAsync(TokenCache cache, string[] keys, ArrayBufferWriter<byte> writer) : ISubject
    {
        public int Run(int entry)
        {
            writer.ResetWrittenCount();
            System.Threading.Tasks.ValueTask<bool> found = cache.TryGetAsync(keys[entry], writer);
            return found.IsCompletedSuccessfully && found.Result ? writer.WrittenSpan[0] : throw new InvalidOperationException();
        }
    }
}
