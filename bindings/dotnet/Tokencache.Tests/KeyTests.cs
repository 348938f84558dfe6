using System;
using System.Linq;
using Xunit;
using static Tokencache.Tests.Support;

namespace Tokencache.Tests;

public class KeyTests
{
    public static TheoryData<string> Keys =>
    [
        "a", "\0", "a\0b", "ü", "ключ", "鍵", "\U0001f512", "%s%n", "{a}b",
        new string('a', 85), new string('鍵', 85), new string('a', 86), new string('鍵', 86), new string('ü', 512),
        string.Concat(Enumerable.Repeat("\U0001f512", 256)),
    ];

    [Theory]
    [MemberData(nameof(Keys))]
    public void A_text_and_its_utf8_are_the_same_key(string key)
    {
        using TokenCache cache = TokenCache.Open(Memory);
        cache.Set(key, "token"u8);
        using TokenLease lease = cache.Peek(Bytes(key));
        Assert.Equal("token"u8, lease.Span);
        Assert.Equal(5, cache.GetInto(key, new byte[5]));
        cache.Remove(key);
        Assert.Null(cache.Get(Bytes(key)));
    }

    [Fact]
    public void Bytes_that_are_no_text_are_keys()
    {
        using TokenCache cache = TokenCache.Open(Memory);
        cache.Set([0xff], "one"u8);
        cache.Set([0xc3, 0x28], "two"u8);
        using TokenValue? one = cache.Get([0xff]);
        Assert.Equal("one"u8, one!.Span);
    }

    [Theory]
    [InlineData('\ud83d')]
    [InlineData('\udd12')]
    public void Half_a_character_is_refused_rather_than_replaced(char half)
    {
        using TokenCache cache = TokenCache.Open(Memory);
        string key = $"a{half}b";
        ArgumentException refused = Assert.Throws<ArgumentException>(() => cache.Set(key, "token"u8));
        Assert.Equal("key", refused.ParamName);
    }

    [Fact]
    public void A_key_of_any_length_is_refused_without_room_for_it()
    {
        using TokenCache cache = TokenCache.Open(Memory);
        string key = new('k', 20_000_000);
        long before = GC.GetAllocatedBytesForCurrentThread();
        TokenCacheException refused = Assert.Throws<TokenCacheException>(() => cache.Set(key, "token"u8));
        Assert.True(GC.GetAllocatedBytesForCurrentThread() - before < 1_000_000);
        Assert.Equal(TokenCacheStatus.InvalidArgument, refused.Status);
        Assert.Equal("The key is 20000000 characters long; at most 65536 bytes are possible.", refused.Message);
    }

    [Fact]
    public void Impossible_keys_are_refused_without_being_repeated()
    {
        using TokenCache cache = TokenCache.Open(Memory);
        foreach (string key in new[] { string.Empty, new string('k', 1025), "__tokencache:secret" })
        {
            TokenCacheException refused = Assert.Throws<TokenCacheException>(() => cache.Set(key, "token"u8));
            Assert.Equal(TokenCacheStatus.InvalidArgument, refused.Status);
            Assert.Contains(key.Length == 0 ? "is empty" : "The key", refused.Message, StringComparison.Ordinal);
            Assert.DoesNotContain("kkkkkkkk", refused.Message, StringComparison.Ordinal);
            Assert.DoesNotContain("secret", refused.Message, StringComparison.Ordinal);
        }
    }
}
