using System;
using System.Linq;
using Microsoft.Extensions.Caching.Distributed;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Identity.Client;
using Microsoft.Identity.Web.TokenCacheProviders;
using Tokencache.Extensions;
using Tokencache.Extensions.Caching;
using Tokencache.Identity.Web;
// MSAL has a class of that name too.
using TokenCache = Tokencache.TokenCache;

namespace Microsoft.Identity.Web;

/// <summary>Tokencache in place of the distributed token caches of Microsoft.Identity.Web.</summary>
public static class TokencacheIdentityWebExtensions
{
    /// <summary>
    /// In place of <c>AddDistributedTokenCaches()</c> and of the distributed cache behind it: opens a cache as the section
    /// says, and has MSAL keep its tokens there. A distributed cache that the application has added before, for its
    /// sessions perhaps, stays what it was.
    /// </summary>
    /// <param name="builder">What <c>EnableTokenAcquisitionToCallDownstreamApi</c> returned.</param>
    /// <param name="section">The library's configuration document, such as the section <c>Tokencache</c>.</param>
    /// <param name="configure">Says the rest.</param>
    /// <returns>The same builder.</returns>
    /// <exception cref="ArgumentNullException">An argument is null.</exception>
    /// <example>
    /// <code>
    /// builder.Services.AddMicrosoftIdentityWebApiAuthentication(builder.Configuration)
    ///     .EnableTokenAcquisitionToCallDownstreamApi()
    ///     .AddTokencacheTokenCaches(builder.Configuration.GetSection("Tokencache"));
    /// </code>
    /// </example>
    public static MicrosoftIdentityAppCallsWebApiAuthenticationBuilder AddTokencacheTokenCaches(
        this MicrosoftIdentityAppCallsWebApiAuthenticationBuilder builder,
        IConfigurationSection section,
        Action<TokencacheOptions>? configure = null)
    {
        Require.NotNull(builder, nameof(builder));
        ServiceDescriptor? other = builder.Services.LastOrDefault(
            it => it.ServiceType == typeof(IDistributedCache) && !it.IsKeyedService);
        builder.Services.AddTokencache(section, configure).AddTokencacheTokenCaches();
        if (other is not null)
        {
            // The last one is what a service is given.
            builder.Services.Remove(other);
            builder.Services.Add(other);
        }
        return builder;
    }

    /// <summary>Has MSAL keep its tokens in the cache that <c>AddTokencache</c> adds.</summary>
    /// <param name="builder">What <c>EnableTokenAcquisitionToCallDownstreamApi</c> returned.</param>
    /// <returns>The same builder.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="builder"/> is null.</exception>
    public static MicrosoftIdentityAppCallsWebApiAuthenticationBuilder AddTokencacheTokenCaches(
        this MicrosoftIdentityAppCallsWebApiAuthenticationBuilder builder)
    {
        Require.NotNull(builder, nameof(builder));
        builder.Services.AddTokencacheTokenCaches();
        return builder;
    }

    /// <summary>Has MSAL keep its tokens in the cache that <c>AddTokencache</c> adds.</summary>
    /// <param name="services">The services.</param>
    /// <returns>The same services.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="services"/> is null.</exception>
    public static IServiceCollection AddTokencacheTokenCaches(this IServiceCollection services)
    {
        Require.NotNull(services, nameof(services));
        services.AddLogging();
        services.Replace(ServiceDescriptor.Singleton<IMsalTokenCacheProvider, TokencacheTokenCacheProvider>());
        return services;
    }

    /// <summary>Has an application of MSAL, without Microsoft.Identity.Web, keep its tokens in a cache.</summary>
    /// <param name="application">The application.</param>
    /// <param name="cache">The open cache.</param>
    /// <param name="logger">Is told of what L2 did not take.</param>
    /// <returns>The same application.</returns>
    /// <exception cref="ArgumentNullException">An argument is null.</exception>
    public static IConfidentialClientApplication AddTokencacheTokenCache(
        this IConfidentialClientApplication application,
        TokenCache cache,
        ILogger<TokencacheTokenCacheProvider>? logger = null)
    {
        Require.NotNull(application, nameof(application));
        TokencacheTokenCacheProvider provider = new(cache, logger ?? NullLogger<TokencacheTokenCacheProvider>.Instance);
        provider.Initialize(application.UserTokenCache);
        provider.Initialize(application.AppTokenCache);
        return application;
    }
}
