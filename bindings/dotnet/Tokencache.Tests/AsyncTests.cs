using System;
using System.Buffers;
using System.Linq;
using System.Threading;
using System.Threading.Tasks;
using Xunit;
using static Tokencache.Tests.Support;

namespace Tokencache.Tests;

public class AsyncTests
{
    [Fact]
    public async Task What_memory_holds_is_there_at_once()
    {
        using Folder folder = new();
        using TokenCache cache = folder.Open();
        cache.Set("alice", "token"u8);
        ValueTask<TokenValue?> reading = cache.GetAsync("alice");
        Assert.True(reading.IsCompletedSuccessfully);
        using TokenValue? value = await reading;
        Assert.Equal("token"u8, value!.Span);
        ArrayBufferWriter<byte> writer = new();
        ValueTask<bool> copying = cache.TryGetAsync("alice", writer);
        Assert.True(copying.IsCompletedSuccessfully);
        Assert.True(await copying);
        Assert.Equal("token"u8, writer.WrittenSpan);
    }

    [Fact]
    public async Task What_only_the_database_holds_is_awaited()
    {
        using Folder folder = new();
        using TokenCache cache = folder.Open();
        ulong version = await cache.SetAsync("alice", "token"u8, new SetOptions { TimeToLive = TimeSpan.FromHours(1) });
        Assert.NotEqual(0UL, version);
        cache.Clear();
        using TokenValue? value = await cache.GetAsync("alice"u8);
        Assert.Equal(TokenCacheTier.L2, value!.Tier);
        Assert.Equal(version, value.Version);
        Assert.NotNull(value.ExpiresAt);
        cache.Clear();
        ArrayBufferWriter<byte> writer = new();
        Assert.True(await cache.TryGetAsync("alice"u8, writer));
        Assert.Equal("token"u8, writer.WrittenSpan);
    }

    [Fact]
    public async Task What_is_removed_is_not_found()
    {
        using Folder folder = new();
        using TokenCache cache = folder.Open();
        await cache.SetAsync("alice"u8, "token"u8);
        await cache.RemoveAsync("alice");
        await cache.RemoveAsync("nobody"u8);
        Assert.Null(await cache.GetAsync("alice"));
        Assert.False(await cache.TryGetAsync("alice", new ArrayBufferWriter<byte>()));
    }

    [Fact]
    public async Task Thousands_of_calls_are_each_answered_once()
    {
        using Folder folder = new();
        using TokenCache cache = folder.Open();
        Task[] calls = [.. Enumerable.Range(0, 2000).Select(i => RoundTrip(cache, $"key-{i % 100}", i))];
        await Task.WhenAll(calls);

        static async Task RoundTrip(TokenCache cache, string key, int number)
        {
            await cache.SetAsync(key, Bytes($"{key}:{number}"));
            if (number % 10 == 0)
            {
                cache.Clear();
            }
            using TokenValue? value = await cache.GetAsync(key);
            Assert.True(value!.Span.StartsWith(Bytes($"{key}:")));
        }
    }

    [Fact]
    public async Task A_failure_of_L2_comes_with_the_task()
    {
        using Folder folder = new();
        using TokenCache cache = folder.Open();
        cache.Set("alice", "token"u8);
        cache.Clear();
        folder.TakeAway();
        TokenCacheException failure =
            await Assert.ThrowsAsync<TokenCacheException>(async () => await cache.GetAsync("alice"));
        Assert.Equal(TokenCacheStatus.L2Unreachable, failure.Status);
        Assert.NotEmpty(failure.Message);
        Assert.DoesNotContain("alice", failure.Message, StringComparison.Ordinal);
        await Assert.ThrowsAsync<TokenCacheException>(
            async () => await cache.TrySetAsync("alice", Bytes("other"), TokenCache.VersionAbsent));
        folder.PutBack();
    }

    [Fact]
    public async Task What_L2_does_not_take_is_kept_and_owed()
    {
        using Folder folder = new();
        using TokenCache cache = folder.Open();
        await cache.SetAsync("bob", Bytes("token"));
        folder.TakeAway();
        await cache.SetAsync("alice", Bytes("token"));
        await cache.RemoveAsync("bob");
        using (TokenValue? owed = await cache.GetAsync("alice"))
        {
            Assert.True(owed!.IsDegraded);
        }
        Assert.Null(await cache.GetAsync("bob"));
        Assert.False(cache.Flush(TimeSpan.Zero));
        folder.PutBack();
        Assert.True(cache.Flush(TimeSpan.FromMinutes(1)));
        using TokenCache another = folder.Open();
        using TokenValue? arrived = another.Get("alice");
        Assert.True(arrived!.Span.SequenceEqual("token"u8));
        Assert.Null(another.Get("bob"));
    }

    [Fact]
    public async Task What_is_cancelled_before_is_not_begun()
    {
        using TokenCache cache = TokenCache.Open(Memory);
        CancellationToken cancelled = new(canceled: true);
        Task[] calls =
        [
            cache.GetAsync("alice", cancelled).AsTask(),
            cache.TryGetAsync("alice", new ArrayBufferWriter<byte>(), cancelled).AsTask(),
            cache.SetAsync("alice", "token"u8, cancellationToken: cancelled).AsTask(),
            cache.TrySetAsync("alice", "token"u8, TokenCache.VersionAbsent, cancellationToken: cancelled).AsTask(),
            cache.RemoveAsync("alice", cancelled).AsTask(),
        ];
        foreach (Task call in calls)
        {
            Assert.True(call.IsCanceled);
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => call);
        }
        Assert.Null(Read(cache, "alice"));
    }

    [Fact]
    public async Task Cancelling_ends_the_wait_and_not_the_work()
    {
        using Folder folder = new();
        using TokenCache cache = folder.Open();
        cache.Set("alice", "token"u8);
        using ManualResetEventSlim asked = new(), answer = new();
        cache.OnRetry(_ =>
        {
            asked.Set();
            answer.Wait();
            return RetryDecision.Retry();
        });
        folder.TakeAway();
        using CancellationTokenSource patience = new();
        Task<SetResult> writing = cache.SetAsync("alice", "newer"u8, cancellationToken: patience.Token).AsTask();
        asked.Wait();
        await patience.CancelAsync();
        OperationCanceledException cancelled =
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => writing);
        Assert.Equal(patience.Token, cancelled.CancellationToken);
        folder.PutBack();
        answer.Set();
        Until(() => Read(cache, "alice") == "newer");
    }

    [Fact]
    public async Task Closing_answers_what_is_under_way()
    {
        using Folder folder = new();
        TokenCache cache = folder.Open(closeMs: 1);
        cache.Set("alice", "token"u8);
        using ManualResetEventSlim asked = new(), answer = new();
        cache.OnRetry(_ =>
        {
            asked.Set();
            answer.Wait();
            return RetryDecision.GiveUp;
        });
        folder.TakeAway();
        Task<SetResult> writing = cache.SetAsync("alice", "newer"u8).AsTask();
        asked.Wait();
        Task closing = Task.Run(cache.Dispose);
        await Assert.ThrowsAsync<ObjectDisposedException>(() => writing);
        answer.Set();
        await closing;
        folder.PutBack();
    }

    [Fact]
    public async Task Continuations_do_not_run_on_threads_of_the_library()
    {
        using Folder folder = new();
        using TokenCache cache = folder.Open();
        cache.Set("alice", "token"u8);
        cache.Clear();
        bool onPool = await Task.Run(async () =>
        {
            using TokenValue? value = await cache.GetAsync("alice");
            return Thread.CurrentThread.IsThreadPoolThread;
        });
        Assert.True(onPool);
    }
}
