using System;
using System.Linq;
using System.Threading.Tasks;
using Xunit;
using static Tokencache.Tests.Support;

namespace Tokencache.Tests;

public class ArgumentTests
{
    [Fact]
    public void Null_is_named()
    {
        using TokenCache cache = TokenCache.Open(Memory);
        string none = null!;
        (string Name, Action Call)[] calls =
        [
            ("json", () => TokenCache.Open(none)),
            ("json", () => cache.Configure(none)),
            ("key", () => cache.Peek(none)),
            ("key", () => cache.GetLease(none)),
            ("key", () => cache.Get(none)),
            ("key", () => cache.GetInto(none, [])),
            ("key", () => cache.TryGet(none, new System.Buffers.ArrayBufferWriter<byte>())),
            ("destination", () => cache.TryGet("alice", null!)),
            ("key", () => cache.Set(none, [])),
            ("key", () => cache.TrySet(none, [], 1, out _)),
            ("key", () => cache.Remove(none)),
            ("key", () => cache.Touch(none)),
            ("key", () => _ = cache.GetAsync(none).AsTask()),
            ("key", () => _ = cache.TryGetAsync(none, new System.Buffers.ArrayBufferWriter<byte>()).AsTask()),
            ("destination", () => _ = cache.TryGetAsync("alice", null!).AsTask()),
            ("key", () => _ = cache.SetAsync(none, []).AsTask()),
            ("key", () => _ = cache.TrySetAsync(none, [], 1).AsTask()),
            ("key", () => _ = cache.RemoveAsync(none).AsTask()),
        ];
        foreach ((string name, Action call) in calls)
        {
            Assert.Equal(name, Assert.Throws<ArgumentNullException>(call).ParamName);
        }
    }

    [Fact]
    public void A_null_array_is_an_empty_value()
    {
        using TokenCache cache = TokenCache.Open(Memory);
        byte[] none = null!;
        cache.Set("empty", none);
        Assert.Equal(string.Empty, Read(cache, "empty"));
    }

    [Theory]
    [InlineData("")]
    [InlineData("{")]
    [InlineData("""{"version": 2}""")]
    [InlineData("""{"version": 1, "l3": {}}""")]
    public void A_document_that_is_refused_opens_nothing(string json)
    {
        TokenCacheException refused = Assert.Throws<TokenCacheException>(() => TokenCache.Open(json));
        Assert.Contains(refused.Status, new[] { TokenCacheStatus.InvalidConfig, TokenCacheStatus.InvalidArgument });
        Assert.NotEmpty(refused.Message);
    }

    [Fact]
    public async Task Failures_of_asynchronous_calls_come_with_the_task()
    {
        using TokenCache cache = TokenCache.Open(Memory);
        ValueTask<TokenValue?> reading = cache.GetAsync(string.Empty);
        await Assert.ThrowsAsync<TokenCacheException>(async () => await reading);
        ValueTask<SetResult> writing = cache.SetAsync(string.Empty, []);
        await Assert.ThrowsAsync<TokenCacheException>(async () => await writing);
        ValueTask<bool> removing = cache.RemoveAsync(string.Empty);
        await Assert.ThrowsAsync<TokenCacheException>(async () => await removing);
    }

    [Fact]
    public void An_unknown_level_is_refused()
    {
        using TokenCache cache = TokenCache.Open(Memory);
        Assert.Throws<TokenCacheException>(() => cache.OnLog((_, _, _) => { }, (TokenCacheLogLevel)99));
    }

    [Fact]
    public void The_names_of_the_library_are_all_here()
    {
        Assert.Equal(Pairs<Native.Status>(), Pairs<TokenCacheStatus>());
        Assert.Equal(Pairs<Native.Tier>(), Pairs<TokenCacheTier>());
        Assert.Equal(Pairs<Native.Operation>(), Pairs<TokenCacheOperation>().Where(pair => pair.Value != 0));
        Assert.Equal(
            Pairs<Native.Level>().Select(pair => pair.Value),
            Pairs<TokenCacheLogLevel>().Select(pair => pair.Value).Where(value => value != 0));

        static (string Name, int Value)[] Pairs<T>()
            where T : struct, Enum => [.. Enum.GetValues<T>().Select(it => (it.ToString(), (int)(object)it))];
    }
}
