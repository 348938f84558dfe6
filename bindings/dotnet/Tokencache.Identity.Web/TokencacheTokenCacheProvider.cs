using System;
using System.Threading.Tasks;
using Microsoft.Extensions.Logging;
using Microsoft.Identity.Client;
using Microsoft.Identity.Client.Cache;
using Microsoft.Identity.Web.TokenCacheProviders;
using Tokencache.Extensions;

namespace Tokencache.Identity.Web;

/// <summary>Keeps what MSAL caches in a <see cref="TokenCache"/>, for every server that shares its L2.</summary>
/// <remarks>
/// <para>
/// A token that one server has renewed is what the others see next, with L1 on and without affinity. A blob is stored
/// only over the version that MSAL started from; when another server was faster, the library merges what both have
/// changed, so that no token and no refresh token is lost.
/// </para>
/// <para>
/// While L2 is away, what L1 has is served, writes and removals are owed to L2, and what nobody can read is a miss, as it
/// is with the adapter of Microsoft.Identity.Web: MSAL asks the identity provider. An entry that cannot be opened is
/// a <see cref="TokenCacheException"/>, unless <c>encryption.unreadable</c> is <c>miss</c>.
/// </para>
/// <para>
/// It does not derive from <see cref="MsalAbstractTokenCacheProvider"/>, whose handler of writes gives a subclass bytes
/// alone, without the request by which the blob that it started from is found.
/// </para>
/// </remarks>
public class TokencacheTokenCacheProvider : IMsalTokenCacheProvider
{
    private readonly TokenCache _cache;
    private readonly ILogger _logger;
    private readonly LoadedBlobs _loaded = new();

    /// <summary>Stands before a cache.</summary>
    /// <param name="cache">The open cache.</param>
    /// <param name="logger">Is told of what L2 did not take.</param>
    /// <exception cref="ArgumentNullException">An argument is null.</exception>
    public TokencacheTokenCacheProvider(TokenCache cache, ILogger<TokencacheTokenCacheProvider> logger)
    {
        Require.NotNull(cache, nameof(cache));
        Require.NotNull(logger, nameof(logger));
        _cache = cache;
        _logger = logger;
    }

    /// <inheritdoc/>
    public void Initialize(ITokenCache tokenCache)
    {
        Require.NotNull(tokenCache, nameof(tokenCache));
        tokenCache.SetBeforeAccessAsync(LoadAsync);
        tokenCache.SetAfterAccessAsync(StoreAsync);
    }

    /// <inheritdoc/>
    public Task InitializeAsync(ITokenCache tokenCache)
    {
        Initialize(tokenCache);
        return Task.CompletedTask;
    }

    /// <summary>Removes what is cached for a user, here and in L2.</summary>
    /// <param name="homeAccountId">The user: <c>oid.tid</c> of the home tenant.</param>
    /// <exception cref="TokenCacheException">The removal could not be kept for L2 either.</exception>
    public async Task ClearAsync(string homeAccountId) => await _cache.RemoveAsync(homeAccountId).ConfigureAwait(false);

    /// <summary>The key of an entry: what MSAL suggests. Override it to keep partitions apart.</summary>
    /// <param name="args">What MSAL is about to do.</param>
    /// <returns>The key.</returns>
    protected virtual string GetSuggestedCacheKey(TokenCacheNotificationArgs args)
    {
        Require.NotNull(args, nameof(args));
        return args.SuggestedCacheKey;
    }

    private async Task LoadAsync(TokenCacheNotificationArgs args)
    {
        string key = GetSuggestedCacheKey(args);
        if (string.IsNullOrEmpty(key))
        {
            return;
        }
        TokenValue? blob = null;
        try
        {
            blob = await _cache.GetAsync(key, args.CancellationToken).ConfigureAwait(false);
        }
        catch (TokenCacheException reason) when (IsOfL2(reason))
        {
            Log.NotRead(_logger, reason.Status, reason);
        }
        if (args.TelemetryData is { } telemetry)
        {
            telemetry.CacheLevel = Level(blob);
        }
        byte[]? bytes = blob?.ToArray();
        // From here on it is not ours: a load that looks the same may have it disposed of.
        _loaded.Keep(args, blob);
        try
        {
            // Nothing as well: it clears what MSAL has from the request before.
            args.TokenCache.DeserializeMsalV3(bytes, shouldClearExistingCache: true);
        }
        catch (MsalClientException reason)
        {
            Log.NotUnderstood(_logger, reason.ErrorCode, reason);
            throw;
        }
    }

    private async Task StoreAsync(TokenCacheNotificationArgs args)
    {
        using TokenValue? loaded = _loaded.Take(args);
        if (!args.HasStateChanged)
        {
            return;
        }
        string key = GetSuggestedCacheKey(args);
        if (args.HasTokens)
        {
            await StoreAsync(key, args, loaded).ConfigureAwait(false);
        }
        else
        {
            // As it stores: whoever no longer waits for the sign-out has signed out.
            await _cache.RemoveAsync(key).ConfigureAwait(false);
        }
    }

    private async Task StoreAsync(string key, TokenCacheNotificationArgs args, TokenValue? loaded)
    {
        byte[] blob = args.TokenCache.SerializeMsalV3();
        SetOptions options = new() { ExpiresAt = args.SuggestedCacheExpiry };
        try
        {
            if (!string.IsNullOrEmpty(args.NoDistributedCacheUseReason))
            {
                await _cache.SetAsync(key, blob, options with { LocalOnly = true }).ConfigureAwait(false);
            }
            else if (!await StoreOverAsync(key, loaded, blob, options).ConfigureAwait(false))
            {
                await Task.Run(() => Merge(key, loaded, blob, options)).ConfigureAwait(false);
            }
        }
        catch (TokenCacheException reason)
        {
            // The caller has its token, and would gain nothing from hearing that the next one must ask again.
            Log.NotWritten(_logger, reason.Status, reason);
        }
    }

    /// <summary>Stores over what MSAL started from, which is nearly always what is there.</summary>
    /// <returns>False when somebody else was faster, or L2 is away.</returns>
    private async Task<bool> StoreOverAsync(string key, TokenValue? loaded, byte[] blob, SetOptions options)
    {
        try
        {
            // Not with the token of the request: a browser that went away is no reason to lose what was fetched for it.
            ulong expected = loaded?.Version ?? TokenCache.VersionAbsent;
            return await _cache.TrySetAsync(key, blob, expected, options).ConfigureAwait(false) is not null;
        }
        catch (TokenCacheException reason) when (IsOfL2(reason))
        {
            return false;
        }
    }

    /// <summary>Has the library merge. While L2 is away it keeps the blob with what it started from, and merges later.</summary>
    private void Merge(string key, TokenValue? loaded, byte[] blob, SetOptions options)
    {
        bool isStored = _cache.TrySetMerged(key, loaded, blob, out TokenValue? merged, options);
        merged?.Dispose();
        if (isStored)
        {
            Log.Merged(_logger);
        }
        else
        {
            Log.NotWritten(_logger, TokenCacheStatus.Conflict, null);
        }
    }

    private static CacheLevel Level(TokenValue? blob) => blob?.Tier switch
    {
        null => CacheLevel.None,
        TokenCacheTier.L1 => CacheLevel.L1Cache,
        _ => CacheLevel.L2Cache,
    };

    private static bool IsOfL2(TokenCacheException reason) =>
        reason.Status is <= TokenCacheStatus.L2Unreachable and >= TokenCacheStatus.L2Full;
}
