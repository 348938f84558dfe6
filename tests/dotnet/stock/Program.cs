using System;
using System.Globalization;
using Microsoft.Extensions.Caching.Distributed;
using Microsoft.Extensions.Caching.StackExchangeRedis;

// The cache of a stock .NET service, told by the lines of its input what to do; each gets one line of answer.
// tests/redis_dotnet.rs asks it.
if (args is not [string address, string instanceName])
{
    Console.Error.WriteLine("usage: stock HOST:PORT INSTANCE_NAME");
    return 2;
}
using RedisCache cache = new(new RedisCacheOptions
{
    // Patience, because a loaded machine is no failure of the cache.
    Configuration = $"{address},connectTimeout=60000,syncTimeout=60000",
    InstanceName = instanceName,
});
while (Console.ReadLine() is string line)
{
    Console.WriteLine(Answer(line));
}
return 0;

string Answer(string line)
{
    try
    {
        // An empty value is an empty word between two spaces.
        switch (line.Split(' '))
        {
            case ["set", string key, string base64, string absoluteUnixMs, string slidingMs]:
                cache.Set(key, Convert.FromBase64String(base64), Lasting(absoluteUnixMs, slidingMs));
                return "ok";
            case ["get", string key]:
                return cache.Get(key) is byte[] value ? Convert.ToBase64String(value) : "null";
            case ["refresh", string key]:
                cache.Refresh(key);
                return "ok";
            case ["remove", string key]:
                cache.Remove(key);
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

static DistributedCacheEntryOptions Lasting(string absoluteUnixMs, string slidingMs)
{
    DistributedCacheEntryOptions options = new();
    if (absoluteUnixMs != "-")
    {
        options.AbsoluteExpiration = DateTimeOffset.FromUnixTimeMilliseconds(Number(absoluteUnixMs));
    }
    if (slidingMs != "-")
    {
        options.SlidingExpiration = TimeSpan.FromMilliseconds(Number(slidingMs));
    }
    return options;
}

static long Number(string text) => long.Parse(text, NumberStyles.Integer, CultureInfo.InvariantCulture);
