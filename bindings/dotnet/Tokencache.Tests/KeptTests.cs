using System;
using System.Runtime.CompilerServices;
using System.Threading;
using System.Threading.Tasks;
using Xunit;
using static Tokencache.Tests.CallbackTests;
using static Tokencache.Tests.Support;

namespace Tokencache.Tests;

/// <summary>
/// Row 33. DOTNET_GCStress works in checked builds of the runtime alone, so here a thread collects and compacts as fast
/// as it can.
/// </summary>
public class KeptTests
{
    private const int Rounds = 200;

    [Fact]
    public void Handlers_that_nobody_else_keeps_are_called_until_the_cache_closes_and_let_go_then()
    {
        using Folder folder = new();
        using Collector collector = new();
        TokenCache cache = Broken(folder, attempts: 1);
        Counter counter = new();
        WeakReference retry = Register(cache, counter), log = RegisterLog(cache, counter);
        for (int round = 1; round <= Rounds; round++)
        {
            Fails(cache);
            Assert.Equal(round, Volatile.Read(ref counter.Retries));
        }
        Until(() => Volatile.Read(ref counter.Logs) >= Rounds);
        Assert.True(retry.IsAlive && log.IsAlive);
        cache.Dispose();
        Until(() => !retry.IsAlive && !log.IsAlive);
        folder.PutBack();
    }

    [Fact]
    public void A_handler_that_was_replaced_is_let_go()
    {
        using Folder folder = new();
        using Collector collector = new();
        using TokenCache cache = folder.Open();
        Counter counter = new();
        WeakReference first = Register(cache, counter);
        cache.OnRetry(_ => RetryDecision.GiveUp);
        Until(() => !first.IsAlive);
    }

    [Fact]
    public void A_handler_that_was_refused_is_let_go()
    {
        using Collector collector = new();
        TokenCache cache = TokenCache.Open(Memory);
        cache.Dispose();
        Counter counter = new();
        WeakReference? refused = null;
        Assert.Throws<ObjectDisposedException>(() => Register(cache, counter, out refused));
        Until(() => !refused!.IsAlive);
    }

    [Fact]
    public async Task Calls_under_way_are_answered_while_the_collector_runs()
    {
        using Folder folder = new();
        using Collector collector = new();
        using TokenCache cache = folder.Open();
        for (int round = 0; round < Rounds; round++)
        {
            await cache.SetAsync("alice", Bytes($"token {round}"));
            cache.Clear();
            using TokenValue? value = await cache.GetAsync("alice");
            Assert.Equal(Bytes($"token {round}"), value!.ToArray());
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static WeakReference Register(TokenCache cache, Counter counter)
    {
        Register(cache, counter, out WeakReference handler);
        return handler;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void Register(TokenCache cache, Counter counter, out WeakReference kept)
    {
        RetryHandler handler = _ =>
        {
            Interlocked.Increment(ref counter.Retries);
            return RetryDecision.Default;
        };
        kept = new WeakReference(handler);
        cache.OnRetry(handler);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static WeakReference RegisterLog(TokenCache cache, Counter counter)
    {
        LogHandler handler = (_, _, _) => Interlocked.Increment(ref counter.Logs);
        cache.OnLog(handler, TokenCacheLogLevel.Debug);
        return new WeakReference(handler);
    }

    private sealed class Counter
    {
        public int Retries;
        public int Logs;
    }

    /// <summary>A thread that collects and compacts until it is disposed of.</summary>
    private sealed class Collector : IDisposable
    {
        private readonly Thread _thread;
        private volatile bool _ends;

        public Collector()
        {
            _thread = new Thread(Run);
            _thread.Start();
        }

        public void Dispose()
        {
            _ends = true;
            _thread.Join();
        }

        private void Run()
        {
            while (!_ends)
            {
                GC.Collect(GC.MaxGeneration, GCCollectionMode.Forced, blocking: true, compacting: true);
                GC.WaitForPendingFinalizers();
            }
        }
    }
}
