using System;
using System.Buffers.Binary;
using System.Diagnostics;
using System.Linq;
using System.Threading;
using StackExchange.Redis;
using Tokencache.Testing;

namespace Tokencache.Benches;

/// <summary>Two caches before one Redis: when one no longer serves what the other has replaced, and what a hit costs while
/// the server is frozen.</summary>
internal static class TwoServers
{
    private const int Keys = 64;

    public static void Print(Bars bars, int writes, int rounds)
    {
        if (!RedisServer.IsInstalled)
        {
            Bars.Remark("the rows of two servers", "skipped: redis-server is not installed");
            return;
        }
        PrintSeen(bars, writes);
        PrintFrozen(bars, rounds);
    }

    private static string Document(RedisServer redis) =>
        $$$"""
        {"version": 1, "l2": {"kind": "redis", "url": "redis://{{{redis.Address}}}/0", "key_prefix": "ours:"},
         "encryption": {"algorithm": "none"}, "logging": {"to": "none"},
         "coherence": {"heartbeat_ms": 250, "heartbeat_timeout_ms": 250}, "resilience": {"deadline_ms": 500, "stale_ms": 3600000}}
        """;

    /// <summary>From the end of A's set on, until B's L1 answers the old value no more.</summary>
    private static void PrintSeen(Bars bars, int writes)
    {
        using RedisServer redis = new();
        using TokenCache a = TokenCache.Open(Document(redis)), b = TokenCache.Open(Document(redis));
        using ConnectionMultiplexer stock = ConnectionMultiplexer.Connect($"{redis.Address},allowAdmin=true");
        IDatabase plain = stock.GetDatabase();
        byte[] value = Workload.Value(1);
        double[] lag = new double[writes], trip = new double[writes];
        long old = 0;
        for (int write = 0; write < writes; write++)
        {
            string key = $"k{write % Keys}";
            // B holds what is there before.
            BinaryPrimitives.WriteInt32LittleEndian(value, -1 - write);
            a.Set(key, value);
            while (!Serves(b, key, -1 - write))
            {
                b.GetLease(key).Dispose();
            }
            BinaryPrimitives.WriteInt32LittleEndian(value, write);
            a.Set(key, value);
            long start = Stopwatch.GetTimestamp();
            while (Serves(b, key, -1 - write))
            {
                if (Stopwatch.GetElapsedTime(start) > TimeSpan.FromSeconds(5))
                {
                    old++;
                    break;
                }
                Thread.Yield();
            }
            lag[write] = Stopwatch.GetElapsedTime(start).TotalMicroseconds;
            start = Stopwatch.GetTimestamp();
            plain.StringSet("plain", value);
            trip[write] = Stopwatch.GetElapsedTime(start).TotalMicroseconds;
        }
        double median = Rounds.Quantile(trip, 0.5);
        bars.Count("B serves the old value after A's set, in SET round trips, p50", 0.3, Rounds.Quantile(lag, 0.5) / median, $"one is {median:F0} µs");
        bars.Count("  p99", 2, Rounds.Quantile(lag, 0.99) / median);
        bars.Count($"  still old after 5 s, of {writes:N0}", 0, old);
        bars.Count("  still old after 5 s, of 20 whose feed was cut before the set", 0, Cut(redis, a, b, stock));
    }

    /// <summary>Sets that B did not hear of, because its links were cut just before.</summary>
    private static int Cut(RedisServer redis, TokenCache a, TokenCache b, ConnectionMultiplexer stock)
    {
        IServer server = stock.GetServer(redis.Address);
        byte[] value = Workload.Value(1);
        int old = 0;
        for (int time = 0; time < 20; time++)
        {
            BinaryPrimitives.WriteInt32LittleEndian(value, 1_000_000 + time);
            a.Set("cut", value);
            Until(() => Asked(b, "cut") && Serves(b, "cut", 1_000_000 + time));
            server.Execute("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
            BinaryPrimitives.WriteInt32LittleEndian(value, 2_000_000 + time);
            a.Set("cut", value);
            Stopwatch waited = Stopwatch.StartNew();
            while (Serves(b, "cut", 1_000_000 + time) && waited.Elapsed < TimeSpan.FromSeconds(5))
            {
                Thread.Yield();
            }
            old += Serves(b, "cut", 1_000_000 + time) ? 1 : 0;
        }
        return old;
    }

    private static void PrintFrozen(Bars bars, int rounds)
    {
        using RedisServer well = new(), frozen = new();
        Workload load = new(1000);
        using TokenCache usual = Ours.Open(load, Document(well)), silent = Ours.Open(load, Document(frozen));
        foreach (TokenCache cache in new[] { usual, silent })
        {
            // What was written before changes of others were heard of is compared with L2 once.
            Until(() => load.Asked.All(key => Asked(cache, key)) && IsPlain(cache, load));
        }
        frozen.Freeze();
        Until(() => IsDegraded(silent, load));
        Rounds it = Rounds.Run(
            [
                Row.Of("usual", new Ours.Lease(usual, load.Asked), load.Order, 1),
                Row.Of("frozen", new Ours.Lease(silent, load.Asked), load.Order, 1),
            ],
            rounds);
        bars.AtMost(it, "a hit while Redis is frozen ÷ a hit, circuit open", "frozen", "usual", 3);
        bars.Count("  of 1,000 such answers not called degraded", 0, load.Asked.Count(key => !Degraded(silent, key)));
        frozen.Thaw();
    }

    private static bool IsPlain(TokenCache cache, Workload load) => load.Asked.All(key =>
    {
        using TokenLease lease = cache.Peek(key);
        return lease.Found;
    });

    /// <summary>Whether many in a row are answered so: only then the circuit is open.</summary>
    private static bool IsDegraded(TokenCache cache, Workload load) => load.Asked.Take(20).All(key => Degraded(cache, key));

    private static bool Degraded(TokenCache cache, string key)
    {
        using TokenLease lease = cache.GetLease(key);
        return lease.IsDegraded;
    }

    /// <summary>Whether L2 answers, whose link may be on its way back.</summary>
    private static bool Asked(TokenCache cache, string key)
    {
        try
        {
            cache.GetLease(key).Dispose();
            return true;
        }
        catch (TokenCacheException)
        {
            Thread.Sleep(1);
            return false;
        }
    }

    private static bool Serves(TokenCache cache, string key, int stamp)
    {
        using TokenLease lease = cache.Peek(key);
        return lease.Found && BinaryPrimitives.ReadInt32LittleEndian(lease.Span) == stamp;
    }

    private static void Until(Func<bool> condition)
    {
        Stopwatch waited = Stopwatch.StartNew();
        while (!condition())
        {
            if (waited.Elapsed > TimeSpan.FromSeconds(60))
            {
                throw new TimeoutException("What the measurement waits for never came.");
            }
        }
    }
}
