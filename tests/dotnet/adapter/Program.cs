using System;
using System.Globalization;
using System.Threading.Tasks;
using Microsoft.Extensions.Caching.StackExchangeRedis;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using Microsoft.Identity.Client;
using Microsoft.Identity.Web.TokenCacheProviders.Distributed;
using Tokencache.Adapter;

// A service that gets its tokens by MSAL and keeps them with the adapter of Microsoft.Identity.Web over the stock cache,
// told by the lines of its input what to do; each gets one line of answer. tests/coherence_stock.rs asks it.
if (args is not [string address, string instanceName, "l1" or "no-l1", string slidingMs])
{
    Console.Error.WriteLine("usage: adapter HOST:PORT INSTANCE_NAME l1|no-l1 SLIDING_MS|-");
    return 2;
}
using RedisCache cache = new(new RedisCacheOptions
{
    // Patience, because a loaded machine is no failure of the cache.
    Configuration = $"{address},connectTimeout=60000,syncTimeout=60000,asyncTimeout=60000",
    InstanceName = instanceName,
});
MsalDistributedTokenCacheAdapterOptions options = new() { DisableL1Cache = args[2] == "no-l1" };
if (slidingMs != "-")
{
    options.SlidingExpiration = TimeSpan.FromMilliseconds(long.Parse(slidingMs, CultureInfo.InvariantCulture));
}
MsalDistributedTokenCacheAdapter adapter = new(
    cache, Options.Create(options), NullLogger<MsalDistributedTokenCacheAdapter>.Instance);
using Provider provider = new();
IConfidentialClientApplication application = ConfidentialClientApplicationBuilder
    .Create(Provider.ClientId)
    .WithClientSecret("made up")
    .WithAuthority($"https://login.microsoftonline.com/{Provider.TenantId}", validateAuthority: false)
    .WithInstanceDiscovery(false)
    .WithHttpClientFactory(provider)
    .Build();
await adapter.InitializeAsync(application.AppTokenCache);
while (Console.ReadLine() is string line)
{
    Console.WriteLine(await Answer(line));
}
return 0;

async Task<string> Answer(string line)
{
    try
    {
        switch (line)
        {
            case "acquire":
                return await Acquire(isForced: false);
            case "renew":
                return await Acquire(isForced: true);
            case "remove":
                await adapter.ClearAsync($"{Provider.ClientId}_{Provider.TenantId}_AppTokenCache");
                return "ok";
            default:
                return "! no such command";
        }
    }
#pragma warning disable CA1031 // Whatever it throws is an answer.
    catch (Exception failure)
#pragma warning restore CA1031
    {
        return $"! {failure.GetType().Name}: {failure.Message.ReplaceLineEndings(" ")}";
    }
}

async Task<string> Acquire(bool isForced)
{
    AuthenticationResult result = await application
        .AcquireTokenForClient(["https://orders.example/.default"])
        .WithForceRefresh(isForced)
        .ExecuteAsync();
    AuthenticationResultMetadata metadata = result.AuthenticationResultMetadata;
    string place = metadata.TokenSource == TokenSource.Cache
        ? metadata.CacheLevel.ToString()
        : metadata.TokenSource.ToString();
    return $"{place} {result.AccessToken}";
}
