using System;
using System.Buffers;
using System.Collections.Concurrent;
using System.Collections.Generic;
using System.Diagnostics.Metrics;
using System.IO;
using System.Linq;
using System.Threading.Tasks;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Logging;
using Tokencache.Extensions.Caching;
using Tokencache.Testing;
using Tokencache.Tests;
using Xunit;
using static Tokencache.Tests.Support;

namespace Tokencache.Extensions.Tests;

/// <summary>What a service sees of its cache: logs, metrics, health.</summary>
public class ObservedTests
{
    private const string Key = "oid-of-alice.tenant";

    private const string Sealed =
        """
        {"algorithm": "aes-256-gcm", "keyring": {"version": 1, "keys": [
            {"state": "active", "material": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="}]}}
        """;

    [Fact]
    public void What_the_library_logs_goes_to_the_loggers_of_the_service_without_raw_keys()
    {
        using Folder folder = new();
        Records records = new();
        using ServiceProvider services = Services(folder, records, attempts: 2);
        TokenCache cache = services.GetRequiredService<TokenCache>();
        cache.Set(Key, "secret-token"u8);
        cache.Clear();
        Read(cache, Key);
        cache.Clear();
        folder.TakeAway();
        Assert.Throws<TokenCacheException>(() => cache.Get(Key));
        Assert.True(cache.Set(Key, "secret-token"u8).IsOwed);
        // The library logs from a thread of its own.
        Until(() => records.Any(it => it is { Level: LogLevel.Debug, Category: "Tokencache.cache" })
            && records.Any(it => it is { Level: LogLevel.Warning, Category: "Tokencache.l2" }));
        folder.PutBack();
        Assert.True(cache.Flush(TimeSpan.FromSeconds(60)));
        services.Dispose();
        Assert.All(records, it => Assert.Matches("^Tokencache(\\.[a-z0-9_]+)?$", it.Category));
        Assert.DoesNotContain(records, it => it.Text.Contains(Key, StringComparison.Ordinal));
        Assert.DoesNotContain(records, it => it.Text.Contains("secret-token", StringComparison.Ordinal));
    }

    [Fact]
    public void A_category_that_is_switched_off_says_nothing_on_standard_error_either()
    {
        using Folder folder = new();
        using StandardError heard = new(Path.Combine(folder.Home, "stderr"));
        string document = folder.Document(attempts: 1, closeMs: 100)
            .Replace("\"version\"", "\"name\": \"switched-off\", \"version\"", StringComparison.Ordinal)
            .Replace("\"to\": \"none\"", "\"to\": \"stderr\"", StringComparison.Ordinal);
        using (ServiceProvider services = new ServiceCollection()
            .AddLogging(it => it.AddFilter("Tokencache", LogLevel.None))
            .AddTokencache(options => options.Json = document)
            .BuildServiceProvider())
        {
            TokenCache cache = services.GetRequiredService<TokenCache>();
            Read(cache, Key);
            folder.TakeAway();
            // Lost when it closes, which is an error.
            Assert.True(cache.Set(Key, "token"u8).IsOwed);
        }
        folder.PutBack();
        Assert.DoesNotContain("switched-off", heard.Text, StringComparison.Ordinal);
    }

    [Fact]
    public void A_retry_handler_that_throws_is_logged_and_goes_no_further()
    {
        using Folder folder = new();
        Records records = new();
        using ServiceProvider services = Services(
            folder, records, attempts: 1, retry: _ => throw new InvalidOperationException("from the handler"));
        TokenCache cache = services.GetRequiredService<TokenCache>();
        Read(cache, Key);
        folder.TakeAway();
        Assert.Throws<TokenCacheException>(() => cache.Get(Key));
        Until(() => records.Any(it => it.Reason is InvalidOperationException));
        folder.PutBack();
    }

    [Fact]
    public void Instruments_say_what_the_cache_counted()
    {
        using Folder folder = new();
        using ServiceProvider services = Services(folder, new Records());
        TokenCache cache = services.GetRequiredService<TokenCache>();
        cache.Set(Key, new byte[1000]);
        cache.Get(Key)!.Dispose();
        cache.Get(Key)!.Dispose();
        cache.Get("nobody");
        IMeterFactory meters = services.GetRequiredService<IMeterFactory>();
        Dictionary<string, long> seen = Collect(meters);
        Assert.Equal(2, seen["cache.requests cache.request.type=hit cache.tier=l1"]);
        Assert.Equal(1, seen["cache.requests cache.request.type=miss cache.tier=l1"]);
        Assert.Equal(1, seen["cache.requests cache.request.type=miss cache.tier=l2"]);
        Assert.Equal(1, seen["cache.entries"]);
        Assert.InRange(seen["cache.estimated_size"], 1000, 2000);
        Assert.Equal(67108864, seen["tokencache.l1.capacity"]);
        Assert.Equal(0, seen["cache.evictions cache.tier=l1"]);
        Assert.Equal(1, seen["tokencache.l2.circuit tokencache.circuit.state=closed"]);
        Assert.Equal(0, seen["tokencache.l2.circuit tokencache.circuit.state=open"]);
        Assert.Equal(1, seen["tokencache.l2.feed tokencache.feed.state=up"]);
        Assert.Equal(0, seen["tokencache.journal.owed"]);
        Assert.Equal(0, seen["tokencache.journal.failed"]);
        Assert.Equal(0, seen["tokencache.journal.lost_files"]);
        Assert.Equal(0, seen["tokencache.log.dropped"]);
        folder.TakeAway();
        cache.Set("bob", "token"u8);
        seen = Collect(meters);
        Assert.Equal(1, seen["tokencache.journal.owed"]);
        Assert.True(seen["tokencache.l2.failures error.type=TC_L2_UNREACHABLE"] > 0);
        folder.PutBack();
        services.Dispose();
        Assert.Empty(Collect(meters));
    }

    [Fact]
    public void What_is_worth_an_alert_has_an_instrument()
    {
        using Folder folder = new();
        string journal = Path.Combine(folder.Home, "owed.db");
        string document = folder.Document().Replace("\"circuit_failures\"", $"\"journal_path\": \"{journal}\", \"circuit_failures\"", StringComparison.Ordinal);
        string sealing = document.Replace("{\"algorithm\": \"none\"}", Sealed, StringComparison.Ordinal);
        using (TokenCache plain = TokenCache.Open(folder.Document()))
        {
            plain.Set(Key, "token"u8);
        }
        using ServiceProvider services = Services(folder, new Records(), document: sealing);
        TokenCache cache = services.GetRequiredService<TokenCache>();
        Assert.Throws<TokenCacheException>(() => cache.Get(Key));
        File.Delete(journal);
        Until(() => Stat(cache, "journal", "lost_files") > 0);
        Dictionary<string, long> seen = Collect(services.GetRequiredService<IMeterFactory>());
        Assert.Equal(1, seen["tokencache.encryption.refused error.type=TC_SEAL_FOREIGN"]);
        Assert.Equal(1, seen["tokencache.journal.lost_files"]);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_read_that_L1_cannot_answer_is_one_miss_whoever_makes_it(bool isThere)
    {
        using Folder folder = new();
        using TokenCache cache = folder.Open();
        TokencacheDistributedCache distributed = new(cache);
        if (isThere)
        {
            cache.Set(Key, "token"u8);
        }
        Func<Task>[] reads =
        [
            () => Task.FromResult(cache.GetInto(Key, new byte[8])),
            async () => (await cache.GetAsync(Key))?.Dispose(),
            async () => await cache.TryGetAsync(Key, new ArrayBufferWriter<byte>()),
            () => Task.FromResult(distributed.Get(Key)),
            () => distributed.GetAsync(Key),
            async () => await distributed.TryGetAsync(Key, new ArrayBufferWriter<byte>()),
        ];
        foreach (Func<Task> read in reads)
        {
            cache.Clear();
            long before = Stat(cache, "l1", "misses");
            await read();
            Assert.Equal(1, Stat(cache, "l1", "misses") - before);
        }
    }

    [Fact]
    public void One_collection_is_one_reading_of_the_counters()
    {
        using TokenCache cache = TokenCache.Open(Memory);
        // Other tests of this process have meters of that name at the same time.
        using ServiceProvider services = new ServiceCollection().AddMetrics().BuildServiceProvider();
        IMeterFactory meters = services.GetRequiredService<IMeterFactory>();
        using TokencacheMetrics metrics = new(cache, meters);
        List<long> entries = [];
        using MeterListener listener = new();
        listener.InstrumentPublished = (instrument, it) =>
        {
            if (ReferenceEquals(instrument.Meter.Scope, meters))
            {
                it.EnableMeasurementEvents(instrument);
            }
        };
        int writes = 0;
        listener.SetMeasurementEventCallback<long>((instrument, value, _, _) =>
        {
            if (instrument.Name == "cache.requests")
            {
                cache.Set($"between {writes++}", "token"u8);
            }
            else if (instrument.Name == "cache.entries")
            {
                entries.Add(value);
            }
        });
        listener.Start();
        listener.RecordObservableInstruments();
        listener.RecordObservableInstruments();
        Assert.Equal([0, 4], entries.Take(2));
    }

    [Fact]
    public async Task Health_is_what_the_cache_can_do()
    {
        using Folder folder = new();
        using ServiceProvider services = Services(folder, new Records());
        TokenCache cache = services.GetRequiredService<TokenCache>();
        HealthCheckService health = services.GetRequiredService<HealthCheckService>();
        Read(cache, Key);
        HealthReportEntry entry = (await health.CheckHealthAsync()).Entries["tokencache"];
        Assert.Equal(HealthStatus.Healthy, entry.Status);
        Assert.Equal("closed", entry.Data["l2.circuit"]);
        folder.TakeAway();
        Assert.True(cache.Set(Key, "token"u8).IsOwed);
        entry = (await health.CheckHealthAsync()).Entries["tokencache"];
        Assert.Equal(HealthStatus.Degraded, entry.Status);
        Assert.Contains("1 writes are owed to L2", entry.Description, StringComparison.Ordinal);
        folder.PutBack();
        Assert.True(cache.Flush(TimeSpan.FromSeconds(60)));
        Until(() => health.CheckHealthAsync().GetAwaiter().GetResult().Status == HealthStatus.Healthy);
        cache.Dispose();
        Assert.Equal(HealthStatus.Unhealthy, (await health.CheckHealthAsync()).Status);
    }

    [Fact]
    public async Task Health_is_degraded_while_L2_is_suspended()
    {
        using Folder folder = new();
        string document = folder.Document(attempts: 1).Replace("\"circuit_failures\": 0", "\"circuit_failures\": 1", StringComparison.Ordinal);
        using ServiceProvider services = Services(folder, new Records(), document: document);
        TokenCache cache = services.GetRequiredService<TokenCache>();
        HealthCheckService health = services.GetRequiredService<HealthCheckService>();
        Read(cache, Key);
        folder.TakeAway();
        Assert.Throws<TokenCacheException>(() => cache.Get(Key));
        HealthReportEntry entry = (await health.CheckHealthAsync()).Entries["tokencache"];
        Assert.Equal(HealthStatus.Degraded, entry.Status);
        Assert.Contains("L2 is suspended", entry.Description, StringComparison.Ordinal);
        folder.PutBack();
        Until(() => health.CheckHealthAsync().GetAwaiter().GetResult().Status == HealthStatus.Healthy);
    }

    [RedisFact]
    public void Health_is_degraded_while_changes_of_L2_are_not_heard_of()
    {
        using Folder folder = new();
        using RedisServer redis = new();
        using ServiceProvider services = Services(folder, new Records(), document: redis.Document("health:"));
        TokenCache cache = services.GetRequiredService<TokenCache>();
        HealthCheckService health = services.GetRequiredService<HealthCheckService>();
        Read(cache, Key);
        Until(() => Entry().Data["coherence.feed"] is "up");
        Assert.Equal(HealthStatus.Healthy, Entry().Status);
        redis.Stop();
        Until(() => Entry().Description?.Contains("changes of L2 are not heard of", StringComparison.Ordinal) == true);
        Assert.Equal(HealthStatus.Degraded, Entry().Status);
        redis.Start();
        Until(() => Entry().Status == HealthStatus.Healthy);

        HealthReportEntry Entry() => health.CheckHealthAsync().GetAwaiter().GetResult().Entries["tokencache"];
    }

    private static ServiceProvider Services(
        Folder folder,
        Records records,
        int attempts = 1,
        RetryHandler? retry = null,
        string? document = null)
    {
        ServiceCollection services = new();
        services.AddLogging(it => it.AddProvider(records).SetMinimumLevel(LogLevel.Trace).AddFilter("Microsoft", LogLevel.None));
        services.AddMetrics();
        services.AddTokencache(options =>
        {
            options.Json = document ?? folder.Document(attempts);
            options.OnRetry = retry;
        });
        services.AddHealthChecks().AddTokencache();
        return services.BuildServiceProvider();
    }

    private static long Stat(TokenCache cache, params string[] path) => new Statistics(cache).Number(path);

    /// <summary>One collection of the meter that these made.</summary>
    private static Dictionary<string, long> Collect(IMeterFactory meters)
    {
        Dictionary<string, long> seen = [];
        using MeterListener listener = new();
        listener.InstrumentPublished = (instrument, it) =>
        {
            if (instrument.Meter.Name == TokencacheMetrics.MeterName && ReferenceEquals(instrument.Meter.Scope, meters))
            {
                it.EnableMeasurementEvents(instrument);
            }
        };
        listener.SetMeasurementEventCallback<long>((instrument, value, tags, _) =>
        {
            List<string> words = [];
            foreach (KeyValuePair<string, object?> tag in tags)
            {
                if (tag.Key != "cache.name")
                {
                    words.Add($"{tag.Key}={tag.Value}");
                }
            }
            words.Sort(StringComparer.Ordinal);
            seen.Add(string.Join(' ', [instrument.Name, .. words]), value);
        });
        listener.Start();
        listener.RecordObservableInstruments();
        return seen;
    }

    private sealed record Record(string Category, LogLevel Level, string Text, Exception? Reason);

    /// <summary>Keeps what was logged.</summary>
    private sealed class Records : ConcurrentQueue<Record>, ILoggerProvider
    {
        public ILogger CreateLogger(string categoryName) => new Logger(this, categoryName);

        public void Dispose()
        {
        }

        private sealed class Logger(Records records, string category) : ILogger
        {
            public IDisposable? BeginScope<TState>(TState state)
                where TState : notnull => null;

            public bool IsEnabled(LogLevel logLevel) => true;

            public void Log<TState>(
                LogLevel logLevel,
                EventId eventId,
                TState state,
                Exception? exception,
                Func<TState, Exception?, string> formatter)
            {
                if (category.StartsWith("Tokencache", StringComparison.Ordinal))
                {
                    records.Enqueue(new(category, logLevel, formatter(state, exception), exception));
                }
            }
        }
    }
}
