using System;
using System.Diagnostics.CodeAnalysis;
using System.Diagnostics.Metrics;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Microsoft.Extensions.Primitives;

namespace Tokencache.Extensions.Caching;

/// <summary>The one cache of a collection of services, with all that is fastened to it.</summary>
[SuppressMessage("Performance", "CA1812", Justification = "The container makes it.")]
internal sealed class OpenCache : IDisposable
{
    private readonly LogBridge _log;
    private readonly TokencacheMetrics _metrics;
    private readonly IDisposable? _changes;
    private readonly IOptionsFactory<TokencacheOptions> _options;
    private string _json;

    public OpenCache(
        IOptions<TokencacheOptions> options,
        IOptionsFactory<TokencacheOptions> again,
        IServiceProvider services)
    {
        TokencacheOptions given = options.Value;
        _options = again;
        _log = new LogBridge(services.GetService<ILoggerFactory>());
        _json = given.Json;
        Cache = TokenCache.Open(given.Json);
        _log.Attach(Cache);
        if (given.OnRetry is not null)
        {
            Cache.OnRetry(given.OnRetry);
        }
        _metrics = new TokencacheMetrics(Cache, services.GetService<IMeterFactory>());
        if (given.Section is { } section)
        {
            _changes = ChangeToken.OnChange(section.GetReloadToken, Apply);
        }
    }

    public TokenCache Cache { get; }

    public void Dispose()
    {
        _changes?.Dispose();
        _metrics.Dispose();
        Cache.Dispose();
    }

    [SuppressMessage("Design", "CA1031", Justification = "It runs where a file was found changed, and nobody waits there.")]
    private void Apply()
    {
        try
        {
            // As it was made at first: the application may have added to it what stands in no file.
            string json = _options.Create(Options.DefaultName).Json;
            // Some providers say several times that they have changed, and when they have not.
            if (json != _json)
            {
                Cache.Configure(json);
                _json = json;
            }
        }
        catch (Exception reason)
        {
            _log.Refused(reason);
        }
    }
}
