using System.Threading.Tasks;
using Xunit;
using static Tokencache.Tests.Support;

namespace Tokencache.Tests;

/// <summary>What a write that L2 does not take answers.</summary>
public class OwedTests
{
    [Fact]
    public void A_write_says_whether_it_is_owed()
    {
        using Folder folder = new();
        using TokenCache cache = folder.Open(attempts: 1);
        SetResult stored = cache.Set("key", Bytes("1"));
        Assert.False(stored.IsOwed);
        Assert.True(cache.Remove("key"));

        folder.TakeAway();
        SetResult owed = cache.Set("key", Bytes("2"));
        Assert.True(owed.IsOwed);
        Assert.True(owed > stored.Version);
        Assert.Equal($"{owed.Version} (owed)", owed.ToString());
        Assert.False(cache.Remove("key"));
        Assert.Null(Read(cache, "key"));

        folder.PutBack();
        Assert.True(cache.Flush(System.TimeSpan.FromSeconds(60)));
        Assert.True(cache.Remove("key"));
    }

    [Fact]
    public void A_cache_that_was_closed_says_however_often_that_something_was_owed()
    {
        using Folder folder = new();
        TokenCache cache = folder.Open(attempts: 1, closeMs: 50);
        cache.Set("key", Bytes("1"));
        folder.TakeAway();
        Assert.True(cache.Set("key", Bytes("2")).IsOwed);
        Assert.False(cache.Close());
        Assert.False(cache.Close());
        folder.PutBack();
    }

    [Fact]
    public async Task A_write_that_is_awaited_says_so_too()
    {
        using Folder folder = new();
        using TokenCache cache = folder.Open(attempts: 1);
        Assert.False((await cache.SetAsync("key", Bytes("1"))).IsOwed);
        Assert.True(await cache.RemoveAsync("key"));

        folder.TakeAway();
        Assert.True((await cache.SetAsync("key", Bytes("2"))).IsOwed);
        Assert.False(await cache.RemoveAsync("key"));
        folder.PutBack();
    }
}
