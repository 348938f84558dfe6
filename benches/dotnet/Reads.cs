using System;
using System.Buffers;
using System.Collections.Concurrent;
using System.Collections.Generic;
using Microsoft.Extensions.Caching.Hybrid;
using Microsoft.Extensions.Caching.Memory;
using Tokencache.Extensions.Caching;
using ZiggyCreatures.Caching.Fusion;

namespace Tokencache.Benches;

/// <summary>A hit in memory: ours, and what else there is.</summary>
internal sealed class Reads : IDisposable
{
    private readonly Workload _load;
    private readonly TokenCache _ours;
    private readonly ConcurrentDictionary<string, byte[]> _dictionary;
    private readonly MemoryCache _memory;
    private readonly FusionCache _fusion;
    private readonly HybridCache _bytes;
    private readonly HybridCache _immutable;

    public Reads(Workload load)
    {
        _load = load;
        _dictionary = Peers.Dictionary(load);
        _memory = Peers.Memory(load);
        _fusion = Peers.Fusion(load);
        _bytes = Peers.HybridBytes(load);
        _immutable = Peers.HybridImmutable(load);
        _ours = Ours.Open(load);
    }

    public void Dispose()
    {
        _ours.Dispose();
        _memory.Dispose();
        _fusion.Dispose();
    }

    public Rounds Run(int threads, int rounds, int sliceMs = 3)
    {
        string[] keys = _load.Asked;
        byte[] buffer = new byte[Workload.ValueBytes];
        List<Row> rows = [];
        void Add<T>(string name, T subject)
            where T : struct, ISubject => rows.Add(Row.Of(name, subject, _load.Order, threads));
        Add("dictionary", new Peers.OfDictionary(_dictionary, keys));
        Add("ours, UTF-8", new Ours.PeekUtf8(_ours, _load.Utf8));
        Add("ours", new Ours.Peek(_ours, keys));
        Add("raw", new Ours.Raw(_ours, _load.Utf8));
        Add("memory", new Peers.OfMemory(_memory, keys));
        if (threads == 1)
        {
            Add("dictionary, copy", new Peers.CopyOfDictionary(_dictionary, keys));
            Add("raw, in a finally", new Ours.RawInFinally(_ours, _load.Utf8));
            Add("empty", default(Ours.Empty));
            Add("into", new Ours.Into(_ours, keys, buffer));
            Add("writer", new Ours.Writer(_ours, keys, new ArrayBufferWriter<byte>(Workload.ValueBytes)));
            Add("get", new Ours.Get(new TokencacheDistributedCache(_ours), keys));
            Add("fusion", new Peers.OfFusion(_fusion, keys));
            Add("fusion, or set", new Peers.OfFusionOrSet(_fusion, keys));
            Add("hybrid", new Peers.OfHybridBytes(_bytes, keys));
            Add("hybrid, immutable", new Peers.OfHybridImmutable(_immutable, keys));
        }
        return Rounds.Run(rows, rounds, sliceMs);
    }

    /// <summary>The rows of one thread; bars for few entries, which show instructions, and for many, which show misses.</summary>
    public static void Print(Bars bars, Rounds it, bool areMany)
    {
        bars.AtMost(it, "zero copy, UTF-8 key ÷ ConcurrentDictionary", "ours, UTF-8", "dictionary", areMany ? 0.95 : 1.9);
        bars.AtMost(it, "zero copy, string key ÷ ConcurrentDictionary", "ours", "dictionary", areMany ? 1.15 : 2.7);
        bars.AtMost(it, "zero copy, string key ÷ MemoryCache", "ours", "memory", areMany ? 0.8 : 1.3);
        bars.Faster(it, "faster than FusionCache TryGet", "ours", "fusion", 1.7);
        bars.Faster(it, "faster than FusionCache GetOrSetAsync", "ours", "fusion, or set", areMany ? 1.9 : 2.5);
        bars.Faster(it, "faster than HybridCache, byte[]", "ours", "hybrid", areMany ? 4 : 6);
        bars.Faster(it, "faster than HybridCache, immutable type", "ours", "hybrid, immutable", areMany ? 1.6 : 0.95);
        bars.AtMost(it, "GetInto ÷ (dictionary + copy to new byte[])", "into", "dictionary, copy", areMany ? 0.75 : 0.6);
        bars.AtMost(it, "TryGet, IBufferWriter ÷ (dictionary + copy)", "writer", "dictionary, copy", areMany ? 0.75 : 0.6);
        bars.AtMost(it, "IDistributedCache.Get ÷ (dictionary + copy)", "get", "dictionary, copy", areMany ? 1.2 : 1.35);
        if (!areMany)
        {
            bars.AtMost(it, "the binding's lease ÷ the raw two calls", "ours, UTF-8", "raw", 1.2);
            Bars.Remark("  ÷ the two with a finally, as using is one", $"{it.Ratio("ours, UTF-8", "raw, in a finally").Median:G3}");
            Bars.Remark("  over an empty call", $"{it.Ratio("ours, UTF-8", "empty").Median:G3} ×, the raw two {it.Ratio("raw", "empty").Median:G3} ×; one is {Bars.Ns(it.Ns("empty"))}");
        }
    }

    public static void PrintTwo(Bars bars, Rounds it)
    {
        bars.AtMost(it, "zero copy, UTF-8 key ÷ ConcurrentDictionary", "ours, UTF-8", "dictionary", 2.8);
        bars.AtMost(it, "zero copy, string key ÷ ConcurrentDictionary", "ours", "dictionary", 3.5);
    }
}
