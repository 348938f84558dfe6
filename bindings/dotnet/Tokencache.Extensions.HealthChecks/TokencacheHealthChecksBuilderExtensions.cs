using System;
using System.Collections.Generic;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Tokencache;
using Tokencache.Extensions.HealthChecks;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>The health of Tokencache among the health checks.</summary>
public static class TokencacheHealthChecksBuilderExtensions
{
    /// <summary>Adds a check of the <see cref="TokenCache"/> that <c>AddTokencache</c> added.</summary>
    /// <param name="builder">The health checks.</param>
    /// <param name="name">The name of the check.</param>
    /// <param name="failureStatus">What a cache that does not answer is; null for unhealthy.</param>
    /// <param name="tags">Tags of the check.</param>
    /// <returns>The same health checks.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="builder"/> is null.</exception>
    public static IHealthChecksBuilder AddTokencache(
        this IHealthChecksBuilder builder,
        string name = "tokencache",
        HealthStatus? failureStatus = null,
        IEnumerable<string>? tags = null)
    {
        ArgumentNullException.ThrowIfNull(builder);
        return builder.Add(new HealthCheckRegistration(
            name,
            services => new TokencacheHealthCheck(services.GetRequiredService<TokenCache>()),
            failureStatus,
            tags));
    }
}
