using System;
using System.Globalization;
using System.Linq;
using System.Threading;
using System.Threading.Tasks;
using Xunit;
using static Tokencache.Tests.Support;

namespace Tokencache.Tests;

public class CompareAndSwapTests
{
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_write_over_an_older_version_is_refused(bool shared)
    {
        using Folder folder = new();
        using TokenCache cache = shared ? folder.Open() : TokenCache.Open(Memory);
        ulong first = cache.Set("alice", "first"u8);
        Assert.True(cache.TrySet("alice", "second"u8, first, out ulong second));
        Assert.NotEqual(first, second);
        Assert.False(cache.TrySet("alice"u8, "late"u8, first, out ulong none));
        Assert.Equal(0UL, none);
        Assert.Equal("second", Read(cache, "alice"));
    }

    [Fact]
    public void Absent_stores_only_where_nothing_is()
    {
        using TokenCache cache = TokenCache.Open(Memory);
        Assert.True(cache.TrySet("alice", "first"u8, TokenCache.VersionAbsent, out _));
        Assert.False(cache.TrySet("alice", "again"u8, TokenCache.VersionAbsent, out _));
        Assert.Equal("first", Read(cache, "alice"));
    }

    [Fact]
    public void The_version_of_no_entry_is_not_an_expectation()
    {
        using TokenCache cache = TokenCache.Open(Memory);
        Assert.Throws<ArgumentOutOfRangeException>(() => cache.TrySet("alice", "token"u8, 0, out _));
        Assert.Throws<ArgumentOutOfRangeException>(() => { _ = cache.TrySetAsync("alice", "token"u8, 0).AsTask(); });
    }

    [Fact]
    public async Task The_asynchronous_write_answers_null_for_a_conflict()
    {
        using Folder folder = new();
        using TokenCache cache = folder.Open();
        ulong? first = await cache.TrySetAsync("alice", "first"u8, TokenCache.VersionAbsent);
        Assert.NotNull(first);
        Assert.Null(await cache.TrySetAsync("alice"u8, "again"u8, TokenCache.VersionAbsent));
        Assert.NotNull(await cache.TrySetAsync("alice", "second"u8, first.Value));
        Assert.Equal("second", Read(cache, "alice"));
    }

    [Fact]
    public void No_update_is_lost_between_two_caches_and_four_threads()
    {
        const int Each = 50;
        using Folder folder = new();
        using TokenCache one = folder.Open(), two = folder.Open();
        one.Set("count", "0"u8);
        Thread[] threads = [.. Enumerable.Range(0, 4).Select(i => new Thread(() => Count(i % 2 == 0 ? one : two)))];
        Array.ForEach(threads, thread => thread.Start());
        Array.ForEach(threads, thread => thread.Join());
        two.Clear();
        Assert.Equal((4 * Each).ToString(CultureInfo.InvariantCulture), Read(two, "count"));

        static void Count(TokenCache cache)
        {
            for (int done = 0; done < Each;)
            {
                // L1 may hold what another cache has replaced, so each try asks L2.
                cache.Clear();
                using TokenValue? before = cache.Get("count");
                int count = int.Parse(before!.Span, CultureInfo.InvariantCulture);
                byte[] next = Bytes((count + 1).ToString(CultureInfo.InvariantCulture));
                done += cache.TrySet("count", next, before.Version, out _) ? 1 : 0;
            }
        }
    }
}
