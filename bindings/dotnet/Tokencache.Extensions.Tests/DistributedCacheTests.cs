using System;
using System.Buffers;
using System.Diagnostics;
using System.Threading;
using System.Threading.Tasks;
using Microsoft.Extensions.Caching.Distributed;
using Tokencache.Extensions.Caching;
using Tokencache.Tests;
using Xunit;
using static Tokencache.Tests.Support;

namespace Tokencache.Extensions.Tests;

public class DistributedCacheTests
{
    private const int Rounds = 10_000;

    [Fact]
    public void A_hit_is_copied_once_into_an_array_and_nothing_else_is_allocated()
    {
        using TokenCache cache = TokenCache.Open(Memory);
        TokencacheDistributedCache distributed = new(cache);
        cache.Set("alice", new byte[7000]);
        long array = Allocated(() => GC.KeepAlive(new byte[7000]));
        Assert.Equal(array, Allocated(() => distributed.Get("alice")));
    }

    [Fact]
    public void A_hit_into_a_writer_allocates_nothing_and_is_there_when_the_call_returns()
    {
        using TokenCache cache = TokenCache.Open(Memory);
        TokencacheDistributedCache distributed = new(cache);
        cache.Set("alice", new byte[7000]);
        ArrayBufferWriter<byte> writer = new(8192);
        Assert.Equal(0, Allocated(() =>
        {
            writer.ResetWrittenCount();
            Assert.True(distributed.TryGet("alice", writer));
        }));
        Assert.Equal(0, Allocated(() =>
        {
            writer.ResetWrittenCount();
            ValueTask<bool> reading = distributed.TryGetAsync("alice", writer);
            Assert.True(reading.IsCompletedSuccessfully && reading.Result);
        }));
        Assert.Equal(7000, writer.WrittenCount);
        Assert.True(distributed.GetAsync("alice").IsCompletedSuccessfully);
        Assert.True(distributed.RefreshAsync("alice").IsCompletedSuccessfully);
    }

    [Fact]
    public void The_longest_span_is_for_ever_as_in_the_stock_caches()
    {
        using Folder folder = new();
        using TokenCache cache = folder.Open();
        TokencacheDistributedCache distributed = new(cache);
        foreach (DistributedCacheEntryOptions options in new DistributedCacheEntryOptions[]
        {
            new() { SlidingExpiration = TimeSpan.MaxValue },
            new() { AbsoluteExpirationRelativeToNow = TimeSpan.MaxValue },
            new() { AbsoluteExpirationRelativeToNow = TimeSpan.MaxValue, SlidingExpiration = TimeSpan.MaxValue },
            new() { AbsoluteExpiration = DateTimeOffset.MaxValue },
        })
        {
            distributed.Set("alice", Bytes("token"), options);
            cache.Clear();
            Assert.Equal(Bytes("token"), distributed.Get("alice"));
            distributed.Remove("alice");
        }
    }

    [Fact]
    public async Task What_L1_has_not_is_read_from_L2()
    {
        using Folder folder = new();
        using TokenCache cache = folder.Open();
        TokencacheDistributedCache distributed = new(cache);
        await distributed.SetAsync("alice", Bytes("token"), new DistributedCacheEntryOptions());
        cache.Clear();
        Assert.Equal(Bytes("token"), await distributed.GetAsync("alice"));
        cache.Clear();
        ArrayBufferWriter<byte> writer = new();
        Assert.True(await distributed.TryGetAsync("alice", writer));
        Assert.Equal("token"u8, writer.WrittenSpan);
        Assert.Null(await distributed.GetAsync("nobody"));
    }

    [Fact]
    public async Task A_value_in_pieces_is_stored_whole()
    {
        using TokenCache cache = TokenCache.Open(Memory);
        TokencacheDistributedCache distributed = new(cache);
        Piece first = new(Bytes("to"), null);
        Piece last = new(Bytes("ken"), first);
        ReadOnlySequence<byte> pieces = new(first, 0, last, 3);
        distributed.Set("alice", pieces, new DistributedCacheEntryOptions());
        Assert.Equal("token", Read(cache, "alice"));
        await distributed.SetAsync("bob", pieces, new DistributedCacheEntryOptions());
        Assert.Equal("token", Read(cache, "bob"));
    }

    [Fact]
    public void Options_become_the_limits_they_name()
    {
        DateTimeOffset end = DateTimeOffset.UtcNow.AddHours(2);
        TimeSpan hour = TimeSpan.FromHours(1), minute = TimeSpan.FromMinutes(1);
        Assert.Equal(default, Lifetime.Of(new()));
        Assert.Equal(new SetOptions { ExpiresAt = end }, Lifetime.Of(new() { AbsoluteExpiration = end }));
        Assert.Equal(
            new SetOptions { TimeToLive = hour }, Lifetime.Of(new() { AbsoluteExpirationRelativeToNow = hour }));
        Assert.Equal(
            new SetOptions { TimeToLive = Timeout.InfiniteTimeSpan, Sliding = minute },
            Lifetime.Of(new() { SlidingExpiration = minute }));
        Assert.Equal(
            new SetOptions { TimeToLive = hour, ExpiresAt = end, Sliding = minute },
            Lifetime.Of(new()
            {
                AbsoluteExpiration = end, AbsoluteExpirationRelativeToNow = hour, SlidingExpiration = minute,
            }));
    }

    [Fact]
    public async Task A_refresh_begins_the_window_anew()
    {
        using TokenCache cache = TokenCache.Open(Memory);
        TokencacheDistributedCache distributed = new(cache);
        bool isProven = false;
        for (int scene = 0; scene < 20 && !isProven; scene++)
        {
            isProven = await IsRenewed(distributed, TimeSpan.FromSeconds(3));
        }
        Assert.True(isProven, "The machine stood still in every scene.");
        distributed.Refresh("nobody");
        await distributed.RefreshAsync("nobody");
    }

    [Fact]
    public async Task A_refresh_that_is_cancelled_is_waited_for_no_longer()
    {
        using Folder folder = new();
        using TokenCache cache = folder.Open();
        using ManualResetEventSlim isAsked = new(), isOver = new();
        using CancellationTokenSource ending = new();
        cache.Touch("alice");
        folder.TakeAway();
        cache.OnRetry(_ =>
        {
            isAsked.Set();
            isOver.Wait();
            return RetryDecision.GiveUp;
        });
        Task refresh = new TokencacheDistributedCache(cache).RefreshAsync("alice", ending.Token);
        isAsked.Wait();
        await ending.CancelAsync();
        try
        {
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => refresh.WaitAsync(TimeSpan.FromSeconds(20)));
        }
        finally
        {
            isOver.Set();
            folder.PutBack();
        }
    }

    [Fact]
    public async Task What_was_cancelled_before_is_not_begun()
    {
        using TokenCache cache = TokenCache.Open(Memory);
        TokencacheDistributedCache distributed = new(cache);
        CancellationToken cancelled = new(canceled: true);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => distributed.GetAsync("alice", cancelled));
        await Assert.ThrowsAnyAsync<OperationCanceledException>(
            () => distributed.SetAsync("alice", [1], new(), cancelled));
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => distributed.RefreshAsync("alice", cancelled));
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => distributed.RemoveAsync("alice", cancelled));
        Assert.Null(distributed.Get("alice"));
    }

    /// <summary>Renews one of two entries for as long as the other one lives, then it must be there.</summary>
    /// <returns>False where the machine stood still between two renewals, which proves nothing.</returns>
    private static async Task<bool> IsRenewed(TokencacheDistributedCache distributed, TimeSpan window)
    {
        Stopwatch clock = Stopwatch.StartNew();
        TimeSpan begun = TimeSpan.Zero, longest = TimeSpan.Zero;
        distributed.Set("kept", Bytes("token"), new() { SlidingExpiration = window });
        distributed.Set("left", Bytes("token"), new() { SlidingExpiration = window });
        DateTimeOffset left = DateTimeOffset.UtcNow + window;
        while (DateTimeOffset.UtcNow < left + TimeSpan.FromMilliseconds(100))
        {
            TimeSpan begins = clock.Elapsed;
            distributed.Refresh("kept");
            await distributed.RefreshAsync("kept");
            longest = Longer(longest, clock.Elapsed - begun);
            begun = begins;
            await Task.Delay(10);
        }
        byte[]? kept = distributed.Get("kept");
        longest = Longer(longest, clock.Elapsed - begun);
        Assert.Null(distributed.Get("left"));
        // With half a window to spare for the coarse clock of the library.
        bool isPrompt = longest < window / 2;
        Assert.True(kept is not null || !isPrompt, $"It ended, though it was renewed every {longest} at most.");
        return isPrompt;

        static TimeSpan Longer(TimeSpan one, TimeSpan other) => one > other ? one : other;
    }

    /// <summary>The bytes that one call allocates, once all is warm.</summary>
    private static long Allocated(Action call)
    {
        for (int round = 0; round < Rounds; round++)
        {
            call();
        }
        long least = long.MaxValue;
        for (int attempt = 0; attempt < 20; attempt++)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            for (int round = 0; round < 100; round++)
            {
                call();
            }
            least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
        }
        return least;
    }

    private sealed class Piece : ReadOnlySequenceSegment<byte>
    {
        public Piece(byte[] bytes, Piece? before)
        {
            Memory = bytes;
            if (before is not null)
            {
                before.Next = this;
                RunningIndex = before.RunningIndex + before.Memory.Length;
            }
        }
    }
}
