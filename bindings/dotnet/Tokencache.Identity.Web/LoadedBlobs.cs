using System;
using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using Microsoft.Identity.Client;

namespace Tokencache.Identity.Web;

/// <summary>What MSAL has loaded and not yet stored: the start of its changes, which a merge needs.</summary>
/// <remarks>
/// MSAL tells of a load and of the store that follows with different objects. Between them stand the same cache of MSAL
/// and the same request, and every load is followed by its "after", changed or not, so that nothing stays here. Should
/// two loads look the same (a request that runs twice under one correlation id), neither is known for the other's
/// start: both are forgotten, and a store of theirs begins with a conflict.
/// </remarks>
internal sealed class LoadedBlobs
{
    private readonly ConcurrentDictionary<Access, TokenValue?> _loaded = new();

    public void Keep(TokenCacheNotificationArgs args, TokenValue? blob)
    {
        Access access = Of(args);
        if (!_loaded.TryAdd(access, blob))
        {
            blob?.Dispose();
            if (_loaded.TryRemove(access, out TokenValue? other))
            {
                other?.Dispose();
            }
        }
    }

    public TokenValue? Take(TokenCacheNotificationArgs args) =>
        _loaded.TryRemove(Of(args), out TokenValue? blob) ? blob : null;

    private static Access Of(TokenCacheNotificationArgs args) =>
        new(args.TokenCache, args.CorrelationId, args.SuggestedCacheKey);

    private readonly record struct Access(ITokenCacheSerializer Cache, Guid Request, string? Key)
    {
        // Caches are told apart by who they are.
        public override int GetHashCode() => HashCode.Combine(RuntimeHelpers.GetHashCode(Cache), Request, Key);
    }
}
