using System;
using System.Threading.Tasks;
using Microsoft.Extensions.Caching.Distributed;
using Microsoft.Extensions.Caching.Hybrid;
using Microsoft.Extensions.DependencyInjection;
using Tokencache.Tests;
using Xunit;
using ZiggyCreatures.Caching.Fusion;
using ZiggyCreatures.Caching.Fusion.Serialization.SystemTextJson;
using static Tokencache.Tests.Support;

namespace Tokencache.Extensions.Tests;

/// <summary>The caches that stand on an IDistributedCache stand on ours.</summary>
public class PeersOnTopTests
{
    [Fact]
    public async Task HybridCache_of_one_service_finds_what_that_of_another_made()
    {
        using Folder folder = new();
        using ServiceProvider one = Hybrid(folder), two = Hybrid(folder);
        HybridCache first = one.GetRequiredService<HybridCache>(), second = two.GetRequiredService<HybridCache>();
        HybridCacheEntryOptions options = new()
        {
            Expiration = TimeSpan.FromMinutes(5), Flags = HybridCacheEntryFlags.DisableLocalCache,
        };
        Assert.Equal("made", await first.GetOrCreateAsync("alice", _ => ValueTask.FromResult("made"), options));
        // HybridCache answers before it has stored.
        Until(() => Stored(two) is not null);
        string found = await second.GetOrCreateAsync("alice", _ => ValueTask.FromResult("made again"), options);
        Assert.Equal("made", found);
        byte[]? older = Stored(one);
        await second.SetAsync("alice", "newer", options);
        Until(() => Stored(one) is { } now && !now.AsSpan().SequenceEqual(older));
        Assert.Equal("newer", await first.GetOrCreateAsync("alice", _ => ValueTask.FromResult("made again"), options));
        await first.RemoveAsync("alice");
        Assert.Equal("anew", await second.GetOrCreateAsync("alice", _ => ValueTask.FromResult("anew"), options));
    }

    [Fact]
    public async Task FusionCache_of_one_service_finds_what_that_of_another_made()
    {
        using Folder folder = new();
        using ServiceProvider one = Fusion(folder), two = Fusion(folder);
        IFusionCache first = one.GetRequiredService<IFusionCache>(), second = two.GetRequiredService<IFusionCache>();
        Assert.Equal("made", await first.GetOrSetAsync("alice", _ => Task.FromResult("made")));
        Assert.Equal("made", await second.GetOrSetAsync("alice", _ => Task.FromResult("made again")));
        await second.RemoveAsync("alice");
        using ServiceProvider three = Fusion(folder);
        Assert.False((await three.GetRequiredService<IFusionCache>().TryGetAsync<string>("alice")).HasValue);
    }

    private static byte[]? Stored(ServiceProvider services) =>
        services.GetRequiredService<IDistributedCache>().Get("alice");

    private static ServiceProvider Hybrid(Folder folder)
    {
        ServiceCollection services = Over(folder);
        services.AddHybridCache();
        return services.BuildServiceProvider();
    }

    private static ServiceProvider Fusion(Folder folder)
    {
        ServiceCollection services = Over(folder);
        services.AddFusionCache()
            .WithDefaultEntryOptions(options => options
                .SetDuration(TimeSpan.FromMinutes(5))
                .SetDistributedCacheDuration(TimeSpan.FromMinutes(5)))
            .WithSerializer(new FusionCacheSystemTextJsonSerializer())
            .WithRegisteredDistributedCache();
        return services.BuildServiceProvider();
    }

    private static ServiceCollection Over(Folder folder)
    {
        ServiceCollection services = new();
        services.AddTokencache(options => options.Json = folder.Document());
        return services;
    }
}
