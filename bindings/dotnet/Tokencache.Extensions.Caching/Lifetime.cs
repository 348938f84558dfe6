using System;
using System.Threading;
using Microsoft.Extensions.Caching.Distributed;

namespace Tokencache.Extensions.Caching;

/// <summary>What .NET says of how long an entry lives, in the words of the library.</summary>
internal static class Lifetime
{
    /// <summary>The longest that the library takes, about a thousand years. Who says more means for ever.</summary>
    private static readonly TimeSpan s_longest = TimeSpan.FromDays(365_000);

    public static SetOptions Of(DistributedCacheEntryOptions options)
    {
        Require.NotNull(options, nameof(options));
        if (options.AbsoluteExpiration is { } end && end <= DateTimeOffset.UtcNow)
        {
            // The library would remove the entry. Callers of this interface have been told for years that it throws.
            Past(nameof(options.AbsoluteExpiration), end);
        }
        bool slidesAlone = options.SlidingExpiration is not null
            && options.AbsoluteExpiration is null
            && options.AbsoluteExpirationRelativeToNow is null;
        return new SetOptions
        {
            // An entry that is to live for as long as it is used has no other end, a configured default included.
            TimeToLive = slidesAlone ? Timeout.InfiniteTimeSpan : AtMost(options.AbsoluteExpirationRelativeToNow),
            ExpiresAt = options.AbsoluteExpiration,
            Sliding = AtMost(options.SlidingExpiration),
        };
    }

    private static TimeSpan? AtMost(TimeSpan? span) => span > s_longest ? s_longest : span;

    private static void Past(string name, DateTimeOffset end) =>
        throw new ArgumentOutOfRangeException(name, end, "The absolute expiration value must be in the future.");
}
