using System;
using System.Linq;
using System.Threading;
using System.Threading.Tasks;
using Xunit;
using static Tokencache.Tests.Support;

namespace Tokencache.Tests;

public class ClosedTests
{
    [Fact]
    public void Closing_says_whether_everything_is_in_L2_and_may_be_repeated()
    {
        using Folder folder = new();
        TokenCache cache = folder.Open();
        cache.Set("alice", "token"u8);
        Assert.True(cache.Close());
        Assert.True(cache.Close());
        cache.Dispose();
        cache.Dispose();
    }

    [Fact]
    public async Task Every_call_of_a_closed_cache_says_so()
    {
        TokenCache cache = TokenCache.Open(Memory);
        cache.Dispose();
        Action[] calls =
        [
            () => cache.Peek("alice"),
            () => cache.GetLease("alice"),
            () => cache.Get("alice"),
            () => cache.GetInto("alice", []),
            () => cache.TryGet("alice", new System.Buffers.ArrayBufferWriter<byte>()),
            () => cache.Set("alice", []),
            () => cache.TrySet("alice", [], 1, out _),
            () => cache.Remove("alice"),
            () => cache.Touch("alice"),
            () => cache.Clear(),
            () => cache.Flush(TimeSpan.Zero),
            () => cache.Stats(),
            () => cache.Configure(Memory),
            () => cache.OnRetry(_ => RetryDecision.Default),
            () => cache.OnRetry(null),
            () => cache.OnLog((_, _, _) => { }),
        ];
        foreach (Action call in calls)
        {
            Assert.Equal(nameof(TokenCache), Assert.Throws<ObjectDisposedException>(call).ObjectName);
        }
        await Assert.ThrowsAsync<ObjectDisposedException>(async () => await cache.GetAsync("alice"));
        await Assert.ThrowsAsync<ObjectDisposedException>(async () => await cache.SetAsync("alice", "token"u8));
        await Assert.ThrowsAsync<ObjectDisposedException>(async () => await cache.RemoveAsync("alice"));
        await Assert.ThrowsAsync<ObjectDisposedException>(
            async () => await cache.TryGetAsync("alice", new System.Buffers.ArrayBufferWriter<byte>()));
    }

    [Fact]
    public void Eight_threads_use_what_two_close()
    {
        for (int round = 0; round < 20; round++)
        {
            using Folder folder = new();
            TokenCache cache = folder.Open();
            cache.Set("alice", "token"u8);
            using Barrier start = new(10);
            Thread[] users = [.. Enumerable.Range(0, 8).Select(i => new Thread(() => Use(cache, i, start)))];
            Thread[] closers = [.. Enumerable.Range(0, 2).Select(_ => new Thread(() => Close(cache, start)))];
            Thread[] all = [.. users, .. closers];
            Array.ForEach(all, thread => thread.Start());
            Assert.All(all, thread => Assert.True(thread.Join(TimeSpan.FromSeconds(120))));
        }

        static void Close(TokenCache cache, Barrier start)
        {
            start.SignalAndWait();
            Thread.Sleep(5);
            cache.Dispose();
        }

        static void Use(TokenCache cache, int number, Barrier start)
        {
            string own = $"key-{number}";
            start.SignalAndWait();
            try
            {
                while (true)
                {
                    cache.Set(own, "token"u8);
                    using TokenLease lease = cache.Peek("alice");
                    if (lease.Found)
                    {
                        Assert.Equal("token"u8, lease.Span);
                    }
                    using TokenValue? value = cache.Get(own);
                    Assert.Equal("token"u8, value!.Span);
                    Task<TokenValue?> reading = cache.GetAsync(own).AsTask();
                    reading.Wait();
                    reading.Result?.Dispose();
                }
            }
            catch (ObjectDisposedException)
            {
            }
            catch (AggregateException e) when (e.InnerException is ObjectDisposedException)
            {
            }
        }
    }
}
