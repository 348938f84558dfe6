using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using StackExchange.Redis;
using Tokencache.Testing;

namespace Tokencache.Benches;

/// <summary>A hit in memory with a Redis behind: ours, and the adapter of Microsoft.Identity.Web.</summary>
internal static class OverRedis
{
    public static void Print(Bars bars, int entries, double bar, int rounds)
    {
        if (!RedisServer.IsInstalled)
        {
            Bars.Remark("the rows over Redis", "skipped: redis-server is not installed");
            return;
        }
        using RedisServer redis = new();
        Workload load = new(entries);
        Adapter adapter = Adapter.Over(redis.Address, load);
        using TokenCache ours = Ours.Open(load, redis.Document(
            "ours:", $$""", "l1": {"capacity_bytes": {{((long)entries * 9000) + (256 << 20)}}}""", heartbeatMs: 60_000));
        Ours.Lease read = new(ours, load.Asked);
        // What was written before changes of others were heard of is compared with L2 once.
        for (int entry = 0; entry < entries; entry++)
        {
            read.Run(entry);
        }
        Rounds it = Rounds.Run(
            [
                Row.Of("ours", new Ours.Lease(ours, load.Asked), load.Order, 1),
                Row.Of("adapter", new Adapter.Read(adapter, load.Asked), load.Order, 1),
            ],
            rounds);
        bars.Faster(it, $"faster than the adapter's L1 hit, {entries:N0} entries", "ours", "adapter", bar);
        if (entries > 1000)
        {
            return;
        }
        long asking = Commands(redis);
        asking = Commands(redis) - asking;
        bars.Count("commands at Redis in 10⁵ hits", 0, Asked(redis, read, load.Order, 100_000) - asking);
        Bars.Remark("  of the adapter, in 10³", $"{Asked(redis, new Adapter.Read(adapter, load.Asked), load.Order, 1000) - asking}");
    }

    private static long Asked<T>(RedisServer redis, T subject, int[] order, int hits)
        where T : struct, ISubject
    {
        long before = Commands(redis);
        for (int at = 0; at < hits; at++)
        {
            subject.Run(order[at]);
        }
        return Commands(redis) - before;
    }

    /// <summary>What was asked of it so far, this question included, and not what keeps a connection alive.</summary>
    private static long Commands(RedisServer redis)
    {
        using ConnectionMultiplexer connection = ConnectionMultiplexer.Connect($"{redis.Address},allowAdmin=true");
        IEnumerable<KeyValuePair<string, string>> all = connection.GetServer(redis.Address).Info("commandstats").SelectMany(it => it);
        return all.Where(it => it.Key != "cmdstat_ping")
            .Sum(it => long.Parse(it.Value.Split("calls=")[1].Split(',')[0], CultureInfo.InvariantCulture));
    }
}
