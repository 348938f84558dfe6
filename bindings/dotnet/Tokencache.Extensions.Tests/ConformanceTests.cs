using System;
using System.Buffers;
using System.Globalization;
using System.Linq;
using System.Threading.Tasks;
using Microsoft.Extensions.Caching.Distributed;
using Microsoft.Extensions.Caching.StackExchangeRedis;
using StackExchange.Redis;
using Tokencache.Extensions.Caching;
using Tokencache.Testing;
using Xunit;
using static Tokencache.Tests.Support;

namespace Tokencache.Extensions.Tests;

/// <summary>What the stock RedisCache answers is what ours answers, over one Redis, whoever of the two has written.</summary>
/// <remarks>
/// Where it differs on purpose: of an absolute and a relative end RedisCache lets the relative one replace the other,
/// and here the earlier holds; it rounds ends down to seconds, and here milliseconds count; an empty key is refused
/// here; and what says nothing of its end lives as <c>expiry</c> says, which this test sets to RedisCache's for ever.
/// </remarks>
public sealed class ConformanceTests : IClassFixture<ConformanceTests.Both>
{
    private static readonly DateTimeOffset s_far = new(2099, 1, 1, 0, 0, 0, TimeSpan.Zero);

    //                 row                    value            absolute end     from now                  sliding                    answer      ends    slides
    private static readonly Row[] s_rows =
    [
        new("none",                           Text("token"),   null,            null,                     null,                      "found",    false,  false),
        new("absolute",                       Text("token"),   s_far,           null,                     null,                      "found",    true,   false),
        new("absolute, from now",             Text("token"),   null,            TimeSpan.FromHours(1),    null,                      "found",    true,   false),
        new("sliding",                        Text("token"),   null,            null,                     TimeSpan.FromMinutes(20),  "found",    true,   true),
        new("both",                           Text("token"),   s_far,           null,                     TimeSpan.FromMinutes(20),  "found",    true,   true),
        new("both, from now",                 Text("token"),   null,            TimeSpan.FromHours(1),    TimeSpan.FromMinutes(20),  "found",    true,   true),
        new("from now, longest",              Text("token"),   null,            TimeSpan.FromDays(365 * 7000), null,                 "found",    true,   false),
        new("past",                           Text("token"),   DateTimeOffset.UnixEpoch, null,            null,                      "throws",   false,  false),
        new("past, sliding",                  Text("token"),   DateTimeOffset.UnixEpoch, null,            TimeSpan.FromMinutes(20),  "throws",   false,  false),
        new("past, from now",                 Text("token"),   DateTimeOffset.UnixEpoch, TimeSpan.FromHours(1), null,                "throws",   false,  false),
        new("empty",                          [],              null,            null,                     null,                      "found",    false,  false),
        new("7 KB",                           Many(7000),      null,            TimeSpan.FromHours(1),    null,                      "found",    true,   false),
        new("binary",                         Binary(),        null,            TimeSpan.FromHours(1),    null,                      "found",    true,   false),
        new("never written",                  null,            null,            null,                     null,                      "nothing",  false,  false),
    ];

    private readonly Both _both;

    public ConformanceTests(Both both) => _both = both;

    public static TheoryData<string> Names => [.. s_rows.Select(row => row.Name)];

    [RedisTheory]
    [MemberData(nameof(Names))]
    public async Task Both_answer_alike(string name)
    {
        Row row = s_rows.Single(it => it.Name == name);
        foreach ((IBufferDistributedCache writer, string by) in new[] { (_both.Stock, "stock"), (_both.Ours, "ours") })
        {
            string key = $"{name}, by {by}";
            Assert.Equal(row.Answer == "throws", await Refuses(writer, key, row));
            Answers stock = await Answers.Of(_both.Stock, key), ours = await Answers.Of(_both.Ours, key);
            Assert.Equal(row.Answer == "found" ? Convert.ToHexString(row.Value!) : "nothing", stock.Get);
            Assert.Equal(stock, ours);
            Assert.Equal(row.Answer == "found", await _both.Redis.KeyExistsAsync("both:" + key));
            Assert.Equal(row.Ends, await _both.Redis.KeyTimeToLiveAsync("both:" + key) is not null);
            Assert.Equal(
                row.Slides ? row.Sliding!.Value.Ticks.ToString(CultureInfo.InvariantCulture) : row.Answer == "found" ? "-1" : null,
                (string?)await _both.Redis.HashGetAsync("both:" + key, "sldexp"));
            await (by == "ours" ? _both.Stock : _both.Ours).RefreshAsync(key);
            writer.Refresh(key);
            await (by == "ours" ? _both.Stock : _both.Ours).RemoveAsync(key);
            writer.Remove(key);
            Assert.Equal(await Answers.Of(_both.Stock, key), await Answers.Of(_both.Ours, key));
            Assert.Equal("nothing", (await Answers.Of(_both.Ours, key)).Get);
        }
    }

    [RedisFact]
    public async Task What_ends_ends_for_both()
    {
        DistributedCacheEntryOptions soon = new() { AbsoluteExpirationRelativeToNow = TimeSpan.FromMilliseconds(1500) };
        foreach (IBufferDistributedCache writer in new[] { _both.Stock, _both.Ours })
        {
            await writer.SetAsync("ends", Text("token"), soon);
            Until(() => _both.Ours.Get("ends") is null && _both.Stock.Get("ends") is null);
        }
    }

    [RedisFact]
    public async Task Nulls_are_refused_alike()
    {
        foreach (IBufferDistributedCache cache in new[] { _both.Stock, _both.Ours })
        {
            DistributedCacheEntryOptions options = new();
            Assert.Throws<ArgumentNullException>(() => cache.Get(null!));
            await Assert.ThrowsAsync<ArgumentNullException>(async () => await cache.GetAsync(null!));
            Assert.Throws<ArgumentNullException>(() => cache.Set(null!, [], options));
            Assert.Throws<ArgumentNullException>(() => cache.Set("key", (byte[])null!, options));
            Assert.Throws<ArgumentNullException>(() => cache.Set("key", [], null!));
            await Assert.ThrowsAsync<ArgumentNullException>(async () => await cache.SetAsync("key", [], null!));
            Assert.Throws<ArgumentNullException>(() => cache.Refresh(null!));
            await Assert.ThrowsAsync<ArgumentNullException>(async () => await cache.RefreshAsync(null!));
            Assert.Throws<ArgumentNullException>(() => cache.Remove(null!));
        }
    }

    private static byte[] Text(string text) => Bytes(text);

    private static byte[] Many(int length) => [.. Enumerable.Range(0, length).Select(at => (byte)at)];

    private static byte[] Binary() => [0, 255, 0, 10, 13, 128, 0xF6, (byte)'T', (byte)'K', (byte)'C', 0];

    private static async Task<bool> Refuses(IBufferDistributedCache writer, string key, Row row)
    {
        if (row.Value is null)
        {
            return false;
        }
        DistributedCacheEntryOptions options = new() { AbsoluteExpiration = row.Absolute };
        if (row.FromNow is not null)
        {
            options.AbsoluteExpirationRelativeToNow = row.FromNow;
        }
        if (row.Sliding is not null)
        {
            options.SlidingExpiration = row.Sliding;
        }
        try
        {
            writer.Set(key, row.Value, options);
            writer.Set(key, new ReadOnlySequence<byte>(row.Value), options);
            await writer.SetAsync(key, row.Value, options);
            await writer.SetAsync(key, new ReadOnlySequence<byte>(row.Value), options);
            return false;
        }
        catch (ArgumentOutOfRangeException refused)
        {
            Assert.Equal("AbsoluteExpiration", refused.ParamName);
            return true;
        }
    }

    /// <summary>What the four ways to read say, in hex.</summary>
    private sealed record Answers(string Get, string GetAsync, string TryGet, string TryGetAsync)
    {
        public static async Task<Answers> Of(IBufferDistributedCache cache, string key)
        {
            ArrayBufferWriter<byte> one = new(), two = new();
            return new(
                Hex(cache.Get(key)),
                Hex(await cache.GetAsync(key)),
                Hex(cache.TryGet(key, one) ? one.WrittenSpan.ToArray() : null),
                Hex(await cache.TryGetAsync(key, two) ? two.WrittenSpan.ToArray() : null));
        }

        private static string Hex(byte[]? bytes) => bytes is null ? "nothing" : Convert.ToHexString(bytes);
    }

    private sealed record Row(
        string Name,
        byte[]? Value,
        DateTimeOffset? Absolute,
        TimeSpan? FromNow,
        TimeSpan? Sliding,
        string Answer,
        bool Ends,
        bool Slides);

    /// <summary>One Redis, the stock cache and ours.</summary>
    public sealed class Both : IDisposable
    {
        private readonly RedisServer _server = new();
        private readonly ConnectionMultiplexer? _connection;
        private readonly RedisCache? _stock;
        private readonly TokenCache? _cache;

        public Both()
        {
            if (!RedisServer.IsInstalled)
            {
                return;
            }
            string patient = $"{_server.Address},connectTimeout=60000,syncTimeout=60000,asyncTimeout=60000";
            _connection = ConnectionMultiplexer.Connect(patient);
            _stock = new RedisCache(new RedisCacheOptions { Configuration = patient, InstanceName = "both:" });
            _cache = TokenCache.Open(
                _server.Document("both:", """, "expiry": {"default_ttl_ms": -1, "from_value": "off"}"""));
            Ours = new TokencacheDistributedCache(_cache);
        }

        public IDatabase Redis => _connection!.GetDatabase();

        public IBufferDistributedCache Stock => _stock!;

        public IBufferDistributedCache Ours { get; } = null!;

        public void Dispose()
        {
            _cache?.Dispose();
            _stock?.Dispose();
            _connection?.Dispose();
            _server.Dispose();
        }
    }
}
