using System;
using System.Threading.Tasks;
using Microsoft.Extensions.Caching.Distributed;
using Microsoft.Extensions.Caching.StackExchangeRedis;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using Microsoft.Identity.Web.TokenCacheProviders.Distributed;

namespace Tokencache.Benches;

/// <summary>The adapter of Microsoft.Identity.Web over the stock cache of Redis, without MSAL's own work.</summary>
internal sealed class Adapter : MsalDistributedTokenCacheAdapter
{
    private Adapter(IDistributedCache cache, MsalDistributedTokenCacheAdapterOptions options)
        : base(cache, Options.Create(options), NullLogger<MsalDistributedTokenCacheAdapter>.Instance)
    {
    }

    public static Adapter Over(string address, Workload load)
    {
        RedisCache cache = new(new RedisCacheOptions
        {
            Configuration = $"{address},connectTimeout=60000,syncTimeout=60000,asyncTimeout=60000",
            InstanceName = "adapter:",
        });
        MsalDistributedTokenCacheAdapterOptions options = new();
        options.L1CacheOptions.SizeLimit = 4L << 30;
        Adapter adapter = new(cache, options);
        for (int entry = 0; entry < load.Stored.Length; entry++)
        {
            adapter.WriteCacheBytesAsync(load.Stored[entry], Workload.Value(entry)).Wait();
        }
        return adapter;
    }

    public readonly struct Read(Adapter adapter, string[] keys) : ISubject
    {
        public int Run(int entry)
        {
            byte[] value = adapter.ReadCacheBytesAsync(keys[entry]).GetAwaiter().GetResult()!;
            return value[0] + value[^1];
        }
    }
}
