using System;
using System.Linq;
using System.Text;
using Xunit;
using static Tokencache.Tests.Support;

namespace Tokencache.Tests;

public class MergeTests
{
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void What_both_have_changed_is_stored(bool shared)
    {
        using Folder folder = new();
        using TokenCache cache = shared ? folder.Open() : TokenCache.Open(Memory);
        Assert.True(cache.TrySetMerged("alice", null, Document("ab"), out TokenValue? first));
        using (first)
        {
            Assert.Equal(Document("ab"), first!.ToArray());
        }
        using TokenValue? basis = cache.Get("alice");
        Assert.True(cache.TrySetMerged("alice", basis, Document("abc"), out TokenValue? alone));
        alone!.Dispose();
        Assert.True(cache.TrySetMerged("alice"u8, basis, Document("bd"), out TokenValue? both));
        using (both)
        {
            Assert.Equal(Document("bcd"), both!.ToArray());
            using TokenValue? found = cache.Get("alice");
            Assert.Equal(both.Version, found!.Version);
        }
    }

    [Fact]
    public void What_was_removed_meanwhile_is_not_stored_again()
    {
        using Folder folder = new();
        using TokenCache cache = folder.Open();
        Assert.True(cache.TrySetMerged("alice", null, Document("a"), out TokenValue? first));
        cache.Remove("alice");
        Assert.True(cache.TrySetMerged("alice", first, Document("a"), out TokenValue? nothing));
        Assert.Null(nothing);
        first!.Dispose();
        Assert.Null(cache.Get("alice"));
        Assert.Throws<ObjectDisposedException>(() => cache.TrySetMerged("alice", first, Document("a"), out _));
    }

    [Fact]
    public void What_is_no_msal_cache_is_refused()
    {
        using TokenCache cache = TokenCache.Open(Memory);
        var refused = Assert.Throws<TokenCacheException>(() => cache.TrySetMerged("alice", null, "hello"u8, out _));
        Assert.Equal(TokenCacheStatus.InvalidArgument, refused.Status);
        Assert.Contains("not an MSAL token cache", refused.Message, StringComparison.Ordinal);
    }

    private static byte[] Document(string tokens)
    {
        var items = tokens.Select(token => $"\"{token}\":{{\"secret\":\"made-up\",\"cached_at\":\"1\",\"expires_on\":\"4070908800\"}}");
        return Encoding.UTF8.GetBytes("{\"AccessToken\":{" + string.Join(",", items) + "}}");
    }
}
