using System;
using Microsoft.Extensions.Caching.Distributed;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Tokencache;
using Tokencache.Extensions;
using Tokencache.Extensions.Caching;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Tokencache in a collection of services.</summary>
public static class TokencacheServiceCollectionExtensions
{
    /// <summary>
    /// Adds a <see cref="TokenCache"/>, opened at its first use and closed with the services, and over it an
    /// <see cref="IDistributedCache"/>. What it logs goes to the loggers of the services, what it counts to the meter
    /// <c>Tokencache</c>.
    /// </summary>
    /// <param name="services">The services.</param>
    /// <param name="configure">Says how to open it.</param>
    /// <returns>The same services.</returns>
    /// <exception cref="ArgumentNullException">An argument is null.</exception>
    /// <example>
    /// <code>
    /// services.AddTokencache(options => options.Json = """
    ///     {"version": 1, "l2": {"kind": "redis", "url": "redis://localhost"}, "encryption": {"algorithm": "none"}}
    ///     """);
    /// </code>
    /// </example>
    public static IServiceCollection AddTokencache(
        this IServiceCollection services,
        Action<TokencacheOptions> configure)
    {
        Require.NotNull(services, nameof(services));
        Require.NotNull(configure, nameof(configure));
        services.AddOptions();
        services.Configure(configure);
        services.TryAddSingleton<OpenCache>();
        services.TryAddSingleton(provider => provider.GetRequiredService<OpenCache>().Cache);
        services.AddSingleton<IDistributedCache, TokencacheDistributedCache>();
        return services;
    }

    /// <summary>
    /// As <see cref="AddTokencache(IServiceCollection, Action{TokencacheOptions})"/>, with the configuration document
    /// from a section. When the section changes the running cache is given the new document.
    /// </summary>
    /// <param name="services">The services.</param>
    /// <param name="section">
    /// Members as in the library's document, in any case and with or without underscores: <c>Tokencache:L2:KeyPrefix</c>.
    /// </param>
    /// <param name="configure">Says the rest.</param>
    /// <returns>The same services.</returns>
    /// <exception cref="ArgumentNullException">An argument is null.</exception>
    /// <remarks>
    /// A section that does not fit is an <see cref="InvalidOperationException"/> with the path of what does not, when
    /// the cache is first used.
    /// </remarks>
    public static IServiceCollection AddTokencache(
        this IServiceCollection services,
        IConfigurationSection section,
        Action<TokencacheOptions>? configure = null)
    {
        Require.NotNull(section, nameof(section));
        services.AddTokencache(options =>
        {
            options.Json = ConfigurationDocument.From(section);
            options.Section = section;
        });
        return configure is null ? services : services.Configure(configure);
    }
}
