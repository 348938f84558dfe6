using System;
using System.Threading;
using Xunit;
using static Tokencache.Tests.Support;

namespace Tokencache.Tests;

public class ExpiryTests
{
    private static readonly TimeSpan s_hour = TimeSpan.FromHours(1);

    [Fact]
    public void A_lifetime_ends_the_entry()
    {
        using TokenCache cache = TokenCache.Open(Memory);
        cache.Set("alice", "token"u8, new SetOptions { TimeToLive = TimeSpan.FromMilliseconds(20) });
        Until(() => Read(cache, "alice") is null);
    }

    [Fact]
    public void A_lifetime_says_when_it_ends()
    {
        using TokenCache cache = TokenCache.Open(Memory);
        cache.Set("alice", "token"u8, new SetOptions { TimeToLive = s_hour });
        using TokenLease lease = cache.Peek("alice");
        Assert.Equal(s_hour, lease.ExpiresAt - lease.WrittenAt);
    }

    [Fact]
    public void An_infinite_lifetime_has_no_end()
    {
        using TokenCache cache = TokenCache.Open(Memory);
        cache.Set("alice", "token"u8, new SetOptions { TimeToLive = Timeout.InfiniteTimeSpan });
        using TokenLease lease = cache.Peek("alice");
        Assert.Null(lease.ExpiresAt);
    }

    [Fact]
    public void A_moment_is_kept_to_the_millisecond_in_any_zone()
    {
        using Folder folder = new();
        using TokenCache cache = folder.Open();
        DateTimeOffset end = new(2090, 1, 2, 3, 4, 5, 678, TimeSpan.FromHours(5));
        cache.Set("alice", "token"u8, new SetOptions { ExpiresAt = end, TimeToLive = Timeout.InfiniteTimeSpan });
        cache.Clear();
        using TokenValue? value = cache.Get("alice");
        Assert.Equal(end, value!.ExpiresAt);
    }

    [Fact]
    public void The_farthest_moment_can_be_said_and_read()
    {
        using TokenCache cache = TokenCache.Open(Memory);
        SetOptions options = new() { ExpiresAt = DateTimeOffset.MaxValue, TimeToLive = Timeout.InfiniteTimeSpan };
        cache.Set("alice", "token"u8, options);
        using TokenLease lease = cache.Peek("alice");
        Assert.True(lease.Found);
        Assert.True(lease.ExpiresAt is null || lease.ExpiresAt.Value.Year == 9999);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(1970)]
    [InlineData(2001)]
    public void A_past_moment_removes_the_entry(int year)
    {
        using TokenCache cache = TokenCache.Open(Memory);
        cache.Set("alice", "token"u8);
        SetOptions past = new() { ExpiresAt = new DateTimeOffset(year, 1, 1, 0, 0, 0, TimeSpan.Zero) };
        Assert.Equal(0UL, cache.Set("alice", "late"u8, past));
        Assert.Null(Read(cache, "alice"));
    }

    [Fact]
    public void A_sliding_entry_is_renewed_by_touching_it()
    {
        using TokenCache cache = TokenCache.Open(Memory);
        cache.Set("alice", "token"u8, new SetOptions { Sliding = s_hour });
        Assert.True(cache.Touch("alice"));
        Assert.True(cache.Touch("alice"u8));
        cache.Set("bob", "token"u8, new SetOptions { Sliding = TimeSpan.FromMilliseconds(20) });
        for (int pause = 1; Read(cache, "bob") is not null; pause *= 2)
        {
            // Reads renew it, so each pause is longer.
            Thread.Sleep(pause);
        }
        Assert.False(cache.Touch("bob"));
    }

    [Fact]
    public void No_time_is_quietly_the_default()
    {
        using TokenCache cache = TokenCache.Open(Memory);
        foreach (TimeSpan wrong in new[] { TimeSpan.Zero, TimeSpan.FromSeconds(-5), TimeSpan.MinValue })
        {
            Assert.Throws<ArgumentOutOfRangeException>(
                () => cache.Set("alice", "token"u8, new SetOptions { TimeToLive = wrong }));
            Assert.Throws<ArgumentOutOfRangeException>(
                () => cache.Set("alice", "token"u8, new SetOptions { Sliding = wrong }));
            Assert.Throws<ArgumentOutOfRangeException>(() => cache.Flush(wrong - TimeSpan.FromTicks(wrong == TimeSpan.Zero ? 1 : 0)));
        }
        Assert.Throws<ArgumentOutOfRangeException>(
            () => cache.Set("alice", "token"u8, new SetOptions { Sliding = Timeout.InfiniteTimeSpan }));
    }

    [Fact]
    public void A_thousand_years_are_possible_and_more_is_not()
    {
        using TokenCache cache = TokenCache.Open(Memory);
        cache.Set("alice", "token"u8, new SetOptions { TimeToLive = TimeSpan.FromDays(365_000) });
        Assert.Equal("token", Read(cache, "alice"));
        TokenCacheException refused = Assert.Throws<TokenCacheException>(
            () => cache.Set("alice", "token"u8, new SetOptions { TimeToLive = TimeSpan.MaxValue }));
        Assert.Equal(TokenCacheStatus.InvalidArgument, refused.Status);
        Assert.True(cache.Flush(TimeSpan.MaxValue));
    }

    [Fact]
    public void Less_than_a_millisecond_is_one()
    {
        using TokenCache cache = TokenCache.Open(Memory);
        cache.Set("alice", "token"u8, new SetOptions { TimeToLive = TimeSpan.FromTicks(1) });
        Until(() => Read(cache, "alice") is null);
    }
}
