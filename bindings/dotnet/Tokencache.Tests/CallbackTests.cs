using System;
using System.Collections.Concurrent;
using System.Diagnostics;
using System.Linq;
using System.Threading.Tasks;
using Xunit;
using static Tokencache.Tests.Support;

namespace Tokencache.Tests;

public class CallbackTests
{
    [Fact]
    public void A_retry_handler_is_told_what_failed()
    {
        using Folder folder = new();
        using TokenCache cache = Broken(folder, attempts: 3);
        ConcurrentQueue<RetryContext> asked = new();
        cache.OnRetry(context =>
        {
            asked.Enqueue(context);
            return RetryDecision.Retry(TimeSpan.FromMilliseconds(1));
        });
        Assert.Equal(TokenCacheStatus.L2Unreachable, Fails(cache));
        Assert.Equal([1, 2, 3], asked.Select(it => it.Attempt));
        Assert.All(asked, it =>
        {
            Assert.Equal(TokenCacheOperation.Get, it.Operation);
            Assert.Equal(TokenCacheStatus.L2Unreachable, it.Status);
            Assert.Equal("alice"u8, it.Key.Span);
            Assert.Equal(3, it.MaxAttempts);
            Assert.True(it.Elapsed >= TimeSpan.Zero && it.Elapsed < TimeSpan.FromMinutes(1));
            Assert.True(it.Remaining > TimeSpan.Zero && it.Remaining <= TimeSpan.FromMinutes(1));
            Assert.True(it.Delay >= TimeSpan.Zero);
            Assert.NotEmpty(it.Message);
        });
        folder.PutBack();
    }

    [Fact]
    public void Giving_up_ends_the_call_and_null_goes_back_to_the_configuration()
    {
        using Folder folder = new();
        using TokenCache cache = Broken(folder, attempts: 3);
        int asked = 0;
        cache.OnRetry(_ =>
        {
            asked++;
            return RetryDecision.GiveUp;
        });
        Fails(cache);
        Assert.Equal(1, asked);
        cache.OnRetry(null);
        Fails(cache);
        Assert.Equal(1, asked);
        folder.PutBack();
    }

    [Fact]
    public void A_handler_may_repair_what_failed_and_use_the_cache()
    {
        using Folder folder = new();
        using TokenCache cache = Broken(folder, attempts: 3);
        cache.OnRetry(_ =>
        {
            folder.PutBack();
            cache.Set("bob", "from inside"u8);
            return RetryDecision.Retry();
        });
        Assert.Equal("token", Read(cache, "alice"));
        Assert.Equal("from inside", Read(cache, "bob"));
    }

    [Fact]
    public void A_handler_may_close_the_cache()
    {
        using Folder folder = new();
        TokenCache cache = Broken(folder, attempts: 3);
        cache.OnRetry(_ =>
        {
            cache.Dispose();
            return RetryDecision.Retry();
        });
        Assert.ThrowsAny<Exception>(() => cache.Get("alice"));
        Until(() => Closed(cache));
        folder.PutBack();
    }

    // Row 28.
    [Fact]
    public void A_retry_handler_that_throws_is_reported_and_the_configuration_decides()
    {
        using Folder folder = new();
        using TokenCache cache = Broken(folder, attempts: 3);
        ConcurrentQueue<CallbackFailedEventArgs> reported = new();
        object? sender = null;
        cache.CallbackFailed += (from, failed) =>
        {
            sender = from;
            reported.Enqueue(failed);
            throw new InvalidOperationException("A listener throws, too.");
        };
        RetryHandler handler = context => throw new TimeZoneNotFoundException($"attempt {context.Attempt}");
        cache.OnRetry(handler);
        Assert.Equal(TokenCacheStatus.L2Unreachable, Fails(cache));
        Assert.Equal(["attempt 1", "attempt 2", "attempt 3"], reported.Select(it => it.Exception.Message));
        Assert.All(reported, it => Assert.Same(handler, it.Handler));
        Assert.Same(cache, sender);
        folder.PutBack();
        Assert.Equal("token", Read(cache, "alice"));
    }

    [Fact]
    public void A_handler_that_throws_where_nobody_listens_goes_to_the_trace()
    {
        using Folder folder = new();
        using TokenCache cache = Broken(folder);
        using Listener listener = new();
        Trace.Listeners.Add(listener);
        cache.OnRetry(_ => throw new TimeZoneNotFoundException("nobody listens"));
        Fails(cache);
        Trace.Listeners.Remove(listener);
        Assert.Contains(listener.Lines, line => line.Contains("nobody listens", StringComparison.Ordinal));
        folder.PutBack();
    }

    [Fact]
    public void A_handler_and_everybody_told_of_it_may_throw()
    {
        using Folder folder = new();
        using TokenCache cache = Broken(folder);
        using Thrower thrower = new();
        Trace.Listeners.Add(thrower);
        cache.CallbackFailed += (_, _) => throw new TimeZoneNotFoundException("the listener");
        cache.OnRetry(_ => throw new TimeZoneNotFoundException("the handler"));
        Assert.Equal(TokenCacheStatus.L2Unreachable, Fails(cache));
        Trace.Listeners.Remove(thrower);
        Assert.NotEqual(0, thrower.Told);
        folder.PutBack();
    }

    // Row 28.
    [Fact]
    public void A_log_handler_that_throws_is_reported_and_called_again()
    {
        using Folder folder = new();
        using TokenCache cache = Broken(folder);
        ConcurrentQueue<Exception> reported = new();
        cache.CallbackFailed += (_, failed) => reported.Enqueue(failed.Exception);
        cache.OnLog((_, _, _) => throw new TimeZoneNotFoundException("log"), TokenCacheLogLevel.Debug);
        Fails(cache);
        Fails(cache);
        Until(() => reported.Count >= 2);
        Assert.All(reported, it => Assert.IsType<TimeZoneNotFoundException>(it));
        folder.PutBack();
    }

    // Row 28: what awaits throws on a thread of .NET, and its exception is that task's.
    [Fact]
    public async Task A_continuation_that_throws_leaves_the_library_alone()
    {
        using Folder folder = new();
        using TokenCache cache = folder.Open();
        for (int i = 0; i < 100; i++)
        {
            Task continuation = cache.SetAsync("alice", "token"u8).AsTask().ContinueWith(
                _ => throw new TimeZoneNotFoundException("continuation"),
                default,
                TaskContinuationOptions.ExecuteSynchronously,
                TaskScheduler.Default);
            await Assert.ThrowsAsync<TimeZoneNotFoundException>(() => continuation);
        }
        Assert.Equal("token", Read(cache, "alice"));
    }

    [Fact]
    public void Log_records_reach_the_handler_without_keys()
    {
        using Folder folder = new();
        using TokenCache cache = Broken(folder);
        ConcurrentQueue<(TokenCacheLogLevel Level, string Target, string Message)> records = new();
        cache.OnLog((level, target, message) => records.Enqueue((level, target, message)), TokenCacheLogLevel.Debug);
        Fails(cache);
        Until(() => records.Any(it => it.Message.Contains("TC_L2_UNREACHABLE", StringComparison.Ordinal)));
        Assert.All(records, it =>
        {
            Assert.True(Enum.IsDefined(it.Level));
            Assert.NotEmpty(it.Target);
            Assert.DoesNotContain("alice", it.Message, StringComparison.Ordinal);
        });
        cache.OnLog(null);
        folder.PutBack();
    }

    [Fact]
    public void A_decision_has_no_pause_below_zero_and_the_empty_one_is_the_default()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => RetryDecision.Retry(TimeSpan.FromMilliseconds(-1)));
        Assert.NotEqual(default, RetryDecision.Retry(TimeSpan.MaxValue));
        Assert.Equal(RetryDecision.Default, default);
        Assert.NotEqual(RetryDecision.GiveUp, RetryDecision.Retry());
        Assert.Equal(RetryDecision.Retry(TimeSpan.FromSeconds(1)), RetryDecision.Retry(TimeSpan.FromSeconds(1)));
    }

    /// <summary>A cache whose database holds alice's token and has gone away.</summary>
    internal static TokenCache Broken(Folder folder, int attempts = 2)
    {
        TokenCache cache = folder.Open(attempts);
        cache.Set("alice", "token"u8);
        cache.Clear();
        folder.TakeAway();
        return cache;
    }

    internal static TokenCacheStatus Fails(TokenCache cache) =>
        Assert.Throws<TokenCacheException>(() => cache.Get("alice")).Status;

    private static bool Closed(TokenCache cache)
    {
        try
        {
            cache.Clear();
            return false;
        }
        catch (ObjectDisposedException)
        {
            return true;
        }
    }

    private sealed class Thrower : TraceListener
    {
        public int Told { get; private set; }

        public override void Write(string? message)
        {
            Told++;
            throw new TimeZoneNotFoundException("the trace");
        }

        public override void WriteLine(string? message) => Write(message);
    }

    private sealed class Listener : TraceListener
    {
        public ConcurrentQueue<string> Lines { get; } = new();

        public override void Write(string? message) => Lines.Enqueue(message ?? string.Empty);

        public override void WriteLine(string? message) => Lines.Enqueue(message ?? string.Empty);
    }
}
