using System;
using System.Collections.Concurrent;
using System.ComponentModel;
using System.Threading.Tasks;
using Microsoft.Extensions.Caching.Hybrid;
using Microsoft.Extensions.Caching.Memory;
using Microsoft.Extensions.DependencyInjection;
using ZiggyCreatures.Caching.Fusion;

namespace Tokencache.Benches;

/// <summary>What somebody would use else, each with copies of its own.</summary>
internal static class Peers
{
    public static ConcurrentDictionary<string, byte[]> Dictionary(Workload load)
    {
        ConcurrentDictionary<string, byte[]> cache = new();
        Fill(load, (key, value) => cache[key] = value);
        return cache;
    }

    public static MemoryCache Memory(Workload load)
    {
        MemoryCache cache = new(new MemoryCacheOptions { SizeLimit = 4L << 30 });
        Fill(load, (key, value) => cache.Set(key, value, new MemoryCacheEntryOptions { Size = value.Length }));
        return cache;
    }

    public static FusionCache Fusion(Workload load)
    {
        FusionCache cache = new(new FusionCacheOptions());
        Fill(load, (key, value) => cache.Set(key, value, TimeSpan.FromHours(6)));
        return cache;
    }

    public static HybridCache Hybrid()
    {
        ServiceCollection services = new();
        services.AddHybridCache(options => options.DefaultEntryOptions = new HybridCacheEntryOptions
        {
            Expiration = TimeSpan.FromHours(6),
            LocalCacheExpiration = TimeSpan.FromHours(6),
        });
        return services.BuildServiceProvider().GetRequiredService<HybridCache>();
    }

    public static HybridCache HybridBytes(Workload load)
    {
        HybridCache cache = Hybrid();
        Fill(load, (key, value) => cache.SetAsync(key, value).AsTask().Wait());
        return cache;
    }

    public static HybridCache HybridImmutable(Workload load)
    {
        HybridCache cache = Hybrid();
        Fill(load, (key, value) => cache.SetAsync(key, new Token { Bytes = value }).AsTask().Wait());
        return cache;
    }

    private static void Fill(Workload load, Action<string, byte[]> set)
    {
        for (int entry = 0; entry < load.Stored.Length; entry++)
        {
            set(load.Stored[entry], Workload.Value(entry));
        }
    }

    [ImmutableObject(true)]
    internal sealed class Token
    {
        public byte[] Bytes { get; init; } = [];
    }

    public readonly struct OfDictionary(ConcurrentDictionary<string, byte[]> cache, string[] keys) : ISubject
    {
        public int Run(int entry) => cache.TryGetValue(keys[entry], out byte[]? value) ? value[0] + value[^1] : throw Missing();
    }

    public readonly struct CopyOfDictionary(ConcurrentDictionary<string, byte[]> cache, string[] keys) : ISubject
    {
        public int Run(int entry)
        {
            byte[] copy = cache.TryGetValue(keys[entry], out byte[]? value) ? value.AsSpan().ToArray() : throw Missing();
            return copy[0] + copy[^1];
        }
    }

    /// <summary>A new array each time, as bytes that were received are stored.</summary>
    public readonly struct SetDictionary(ConcurrentDictionary<string, byte[]> cache, string[] keys, byte[] received) : ISubject
    {
        public int Run(int entry)
        {
            cache[keys[entry]] = received.AsSpan().ToArray();
            return entry;
        }
    }

    public readonly struct OfMemory(MemoryCache cache, string[] keys) : ISubject
    {
        public int Run(int entry) => cache.TryGetValue(keys[entry], out byte[]? value) ? value![0] + value[^1] : throw Missing();
    }

    public readonly struct OfFusion(FusionCache cache, string[] keys) : ISubject
    {
        public int Run(int entry)
        {
            byte[] value = cache.TryGet<byte[]>(keys[entry]).Value;
            return value[0] + value[^1];
        }
    }

    public readonly struct OfFusionOrSet(FusionCache cache, string[] keys) : ISubject
    {
        public int Run(int entry)
        {
            byte[] value = Now(cache.GetOrSetAsync<byte[]>(keys[entry], static (_, _) => Task.FromException<byte[]>(Missing())));
            return value[0] + value[^1];
        }
    }

    public readonly struct OfHybridBytes(HybridCache cache, string[] keys) : ISubject
    {
        public int Run(int entry)
        {
            byte[] value = Now(cache.GetOrCreateAsync(keys[entry], static _ => ValueTask.FromException<byte[]>(Missing())));
            return value[0] + value[^1];
        }
    }

    public readonly struct OfHybridImmutable(HybridCache cache, string[] keys) : ISubject
    {
        public int Run(int entry)
        {
            byte[] value = Now(cache.GetOrCreateAsync(keys[entry], static _ => ValueTask.FromException<Token>(Missing()))).Bytes;
            return value[0] + value[^1];
        }
    }

    private static T Now<T>(ValueTask<T> task) => task.IsCompletedSuccessfully ? task.Result : task.AsTask().GetAwaiter().GetResult();

    private static InvalidOperationException Missing() => new("There is no entry.");
}
