using System;
using System.Collections.Generic;
using System.Diagnostics.Metrics;

namespace Tokencache.Extensions.Caching;

/// <summary>The counters of a cache as instruments of the meter <c>Tokencache</c>.</summary>
/// <remarks>
/// All are observable: nothing is counted here, and a hit pays nothing. The first four carry the names of .NET's own
/// memory cache. Every measurement has the tag <c>cache.name</c>, the <c>name</c> of the configuration.
/// <list type="table">
/// <listheader><term>instrument</term><description>what, and its tags</description></listheader>
/// <item><term>cache.requests</term><description>{request}: <c>cache.tier</c> l1 or l2, <c>cache.request.type</c> hit or miss</description></item>
/// <item><term>cache.evictions</term><description>{eviction}: entries that made room: <c>cache.tier</c></description></item>
/// <item><term>cache.entries</term><description>{entry}: in L1</description></item>
/// <item><term>cache.estimated_size</term><description>By: of L1, keys and overhead counted</description></item>
/// <item><term>tokencache.l1.capacity</term><description>By</description></item>
/// <item><term>tokencache.l1.unverified</term><description>{read}: found in L1 and compared with L2 first</description></item>
/// <item><term>tokencache.l1.degraded</term><description>{read}: answered by L1 because L2 could not be asked</description></item>
/// <item><term>tokencache.l2.failures</term><description>{attempt}: <c>error.type</c>, such as TC_L2_TIMEOUT</description></item>
/// <item><term>tokencache.l2.retries</term><description>{attempt}</description></item>
/// <item><term>tokencache.l2.conflicts</term><description>{write}: conditional writes that came too late</description></item>
/// <item><term>tokencache.l2.circuit</term><description>1 for the present <c>tokencache.circuit.state</c> of closed, half_open, open; 0 for the others</description></item>
/// <item><term>tokencache.l2.feed</term><description>1 for the present <c>tokencache.feed.state</c> of up, down, unavailable, not_yet; 0 for the others</description></item>
/// <item><term>tokencache.journal.owed</term><description>{write}: kept for L2</description></item>
/// <item><term>tokencache.journal.owed_size</term><description>By</description></item>
/// <item><term>tokencache.journal.replayed</term><description>{write}: brought to L2 later</description></item>
/// <item><term>tokencache.journal.failed</term><description>{attempt}: to bring one that L2 did not take</description></item>
/// <item><term>tokencache.journal.lost_files</term><description>{file}: removed or replaced while it was open</description></item>
/// <item><term>tokencache.encryption.refused</term><description>{entry}: could not be opened: <c>error.type</c>, such as TC_SEAL_UNKNOWN_KEY</description></item>
/// <item><term>tokencache.log.dropped</term><description>{record}: could not be handed on</description></item>
/// </list>
/// </remarks>
public sealed class TokencacheMetrics : IDisposable
{
    /// <summary>The name of the meter.</summary>
    public const string MeterName = "Tokencache";

    private const string Tier = "cache.tier";
    private static readonly string[] s_circuits = ["closed", "half_open", "open"];
    private static readonly string[] s_feeds = ["up", "down", "unavailable", "not_yet"];

    private readonly object _gate = new();
    private readonly TokenCache _cache;
    private readonly Meter _meter;
    private readonly bool _owned;
    private readonly HashSet<string> _served = new(StringComparer.Ordinal);
    private Statistics? _statistics;
    private volatile bool _ended;

    /// <summary>Makes the instruments.</summary>
    /// <param name="cache">Whose counters.</param>
    /// <param name="meters">Makes the meter; null for one of its own.</param>
    /// <exception cref="ArgumentNullException"><paramref name="cache"/> is null.</exception>
    public TokencacheMetrics(TokenCache cache, IMeterFactory? meters = null)
    {
        Require.NotNull(cache, nameof(cache));
        _cache = cache;
        _owned = meters is null;
        _meter = meters?.Create(new MeterOptions(MeterName)) ?? new Meter(MeterName);
        Standard();
        Tiers();
        Journal();
        Rest();
    }

    /// <summary>Ends the instruments. Doing it again does nothing.</summary>
    public void Dispose()
    {
        _ended = true;
        if (_owned)
        {
            _meter.Dispose();
        }
    }

    private void Standard()
    {
        Counter("cache.requests", "{request}", "Reads by tier and outcome.", it =>
        [
            Measure(it, it.Number("l1", "hits"), (Tier, "l1"), ("cache.request.type", "hit")),
            Measure(it, it.Number("l1", "misses"), (Tier, "l1"), ("cache.request.type", "miss")),
            Measure(it, it.Number("l2", "hits"), (Tier, "l2"), ("cache.request.type", "hit")),
            Measure(it, it.Number("l2", "misses"), (Tier, "l2"), ("cache.request.type", "miss")),
        ]);
        Counter("cache.evictions", "{eviction}", "Entries that made room for others.", it =>
        [
            Measure(it, it.Number("l1", "evictions"), (Tier, "l1")),
            Measure(it, it.Number("l2", "store", "evicted_entries"), (Tier, "l2")),
        ]);
        Level("cache.entries", "{entry}", "Entries in L1.", it => [Measure(it, it.Number("l1", "entries"))]);
        Level("cache.estimated_size", "By", "Bytes of L1.", it => [Measure(it, it.Number("l1", "bytes"))]);
    }

    private void Tiers()
    {
        Level("tokencache.l1.capacity", "By", "What L1 may hold.", it => [Measure(it, it.Number("l1", "capacity_bytes"))]);
        Counter("tokencache.l1.unverified", "{read}", "Found in L1 and compared with L2 first.", it =>
            [Measure(it, it.Number("l1", "unverified"))]);
        Counter("tokencache.l1.degraded", "{read}", "Answered by L1 because L2 could not be asked.", it =>
            [Measure(it, it.Number("l1", "degraded_reads"))]);
        Counter("tokencache.l2.failures", "{attempt}", "Failed attempts at L2.", it =>
            ByStatus(it, "l2", "failed_attempts"));
        Counter("tokencache.l2.retries", "{attempt}", "Attempts after the first.", it =>
            [Measure(it, it.Number("l2", "retries"))]);
        Counter("tokencache.l2.conflicts", "{write}", "Conditional writes that came too late.", it =>
            [Measure(it, it.Number("l2", "conflicts"))]);
        Level("tokencache.l2.circuit", "1", "Whether L2 is asked.", it =>
            States(it, s_circuits, "tokencache.circuit.state", it.Text("l2", "circuit", "state")));
        Level("tokencache.l2.feed", "1", "Whether changes of L2 are heard of.", it =>
            States(it, s_feeds, "tokencache.feed.state", it.Text("coherence", "feed")));
    }

    private void Journal()
    {
        Level("tokencache.journal.owed", "{write}", "Writes kept for L2.", it =>
            [Measure(it, it.Number("journal", "owed_entries"))]);
        Level("tokencache.journal.owed_size", "By", "Their bytes.", it =>
            [Measure(it, it.Number("journal", "owed_bytes"))]);
        Counter("tokencache.journal.replayed", "{write}", "Owed writes that were brought to L2.", it =>
            [Measure(it, it.Number("journal", "replayed"))]);
        Counter("tokencache.journal.failed", "{attempt}", "Attempts to bring an owed write that L2 did not take.", it =>
            [Measure(it, it.Number("journal", "failed"))]);
        Counter("tokencache.journal.lost_files", "{file}", "Journals that were removed or replaced while open.", it =>
            [Measure(it, it.Number("journal", "lost_files"))]);
    }

    private void Rest()
    {
        Counter("tokencache.encryption.refused", "{entry}", "Entries that could not be opened.", it =>
            ByStatus(it, "encryption", "refused"));
        Counter("tokencache.log.dropped", "{record}", "Log records that could not be handed on.", it =>
            [Measure(it, it.Number("dropped_log_records"))]);
    }

    private static List<Measurement<long>> ByStatus(Statistics statistics, params ReadOnlySpan<string> path)
    {
        List<Measurement<long>> rows = [];
        foreach (KeyValuePair<string, long> kind in statistics.Numbers(path))
        {
            rows.Add(Measure(statistics, kind.Value, ("error.type", kind.Key)));
        }
        return rows;
    }

    private static List<Measurement<long>> States(Statistics statistics, string[] states, string tag, string? present)
    {
        List<Measurement<long>> rows = [];
        if (present is not null)
        {
            foreach (string state in states)
            {
                rows.Add(Measure(statistics, state == present ? 1 : 0, (tag, state)));
            }
        }
        return rows;
    }

    private static Measurement<long> Measure(
        Statistics statistics,
        long value,
        params ReadOnlySpan<(string Name, string Value)> tags)
    {
        KeyValuePair<string, object?>[] all = new KeyValuePair<string, object?>[tags.Length + 1];
        all[0] = new("cache.name", statistics.Text("name"));
        for (int tag = 0; tag < tags.Length; tag++)
        {
            all[tag + 1] = new(tags[tag].Name, tags[tag].Value);
        }
        return new Measurement<long>(value, all);
    }

    private void Counter(string name, string unit, string what, Func<Statistics, IEnumerable<Measurement<long>>> read) =>
        _meter.CreateObservableCounter(name, () => Read(name, read), unit, what);

    private void Level(string name, string unit, string what, Func<Statistics, IEnumerable<Measurement<long>>> read) =>
        _meter.CreateObservableUpDownCounter(name, () => Read(name, read), unit, what);

    private IEnumerable<Measurement<long>> Read(
        string instrument,
        Func<Statistics, IEnumerable<Measurement<long>>> read)
    {
        if (_ended)
        {
            return [];
        }
        try
        {
            return read(Now(instrument));
        }
        catch (ObjectDisposedException)
        {
            return [];
        }
    }

    /// <summary>The counters of this collection. An instrument that asks again begins the next one.</summary>
    private Statistics Now(string instrument)
    {
        lock (_gate)
        {
            if (_statistics is null || !_served.Add(instrument))
            {
                _served.Clear();
                _served.Add(instrument);
                _statistics = new Statistics(_cache);
            }
            return _statistics;
        }
    }
}
