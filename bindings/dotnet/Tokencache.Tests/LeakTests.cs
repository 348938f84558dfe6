using System;
using System.Buffers;
using System.Diagnostics;
using System.Text.Json;
using System.Threading;
using System.Threading.Tasks;
using Xunit;
using static Tokencache.Tests.Support;

namespace Tokencache.Tests;

/// <summary>That what is read is given back: gibibytes pass, and hardly anything of them may stay.</summary>
public class LeakTests
{
    private const int Rounds = 1000;
    private const int MiB = 1 << 20;

    [Fact]
    public async Task Nothing_that_was_read_stays_in_memory()
    {
        using Folder folder = new();
        using TokenCache cache = folder.Open();
        byte[] large = new byte[MiB], buffer = new byte[MiB];
        ArrayBufferWriter<byte> writer = new(MiB);
        long before = Resident();
        for (int round = 0; round < Rounds; round++)
        {
            SetOptions here = new() { LocalOnly = true };
            cache.Set("large", large, here);
            Lease(cache);
            cache.Get("large")!.Dispose();
            Assert.Equal(MiB, cache.GetInto("large", buffer));
            using (TokenValue? value = await cache.GetAsync("large"))
            {
                using MemoryHandle pin = value!.Memory.Pin();
            }
            writer.ResetWrittenCount();
            Assert.True(await cache.TryGetAsync("large", writer));
            using CancellationTokenSource patience = new();
            await cache.SetAsync("large", large, here, patience.Token);
        }
        Assert.InRange(Resident() - before, long.MinValue, Rounds * (long)MiB / 2);
    }

    [Fact]
    public async Task An_answer_that_nobody_waits_for_is_given_back()
    {
        using Folder folder = new();
        using TokenCache cache = folder.Open();
        cache.Set("large", new byte[MiB]);
        long before = Resident();
        for (int round = 0; round < Rounds; round++)
        {
            cache.Clear();
            using CancellationTokenSource patience = new();
            ValueTask<TokenValue?> reading = cache.GetAsync("large", patience.Token);
            await patience.CancelAsync();
            try
            {
                using TokenValue? value = await reading;
            }
            catch (OperationCanceledException)
            {
            }
            // What is under way is no leak, and may be much where the library's threads get no turn.
            if (round % 50 == 0)
            {
                Until(() => UnderWay(cache) == 0);
            }
        }
        Assert.InRange(Resident() - before, long.MinValue, Rounds * (long)MiB / 2);
    }

    private static long UnderWay(TokenCache cache)
    {
        using JsonDocument statistics = JsonDocument.Parse(cache.Stats());
        return statistics.RootElement.GetProperty("asynchronous").GetProperty("accepted").GetInt64();
    }

    private static void Lease(TokenCache cache)
    {
        using TokenLease peeked = cache.Peek("large"), read = cache.GetLease("large");
        using TokenValue kept = peeked.ToValue();
        Assert.Equal(MiB, kept.Length + peeked.Span.Length - read.Span.Length);
    }

    private static long Resident()
    {
        using Process self = Process.GetCurrentProcess();
        return self.WorkingSet64;
    }
}
