using Microsoft.Extensions.Configuration;

namespace Tokencache.Extensions.Caching;

/// <summary>How the cache of a service is opened.</summary>
public sealed class TokencacheOptions
{
    /// <summary>
    /// The configuration document of the library, as JSON. <c>AddTokencache</c> with a configuration section fills it
    /// from there.
    /// </summary>
    public string Json { get; set; } = """{"version": 1}""";

    /// <summary>Asked when an attempt at L2 has failed; see <see cref="TokenCache.OnRetry"/>.</summary>
    public RetryHandler? OnRetry { get; set; }

    /// <summary>Where <see cref="Json"/> came from, to come again when it changes.</summary>
    internal IConfigurationSection? Section { get; set; }
}
