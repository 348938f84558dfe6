using System;
using System.Collections.Generic;
using System.Text.Json;
using System.Threading;
using System.Threading.Tasks;
using Microsoft.Extensions.Diagnostics.HealthChecks;

namespace Tokencache.Extensions.HealthChecks;

/// <summary>Whether a cache does all that it is there for.</summary>
/// <remarks>
/// Healthy: it answers, and L2 is as near as it should be. Degraded: it answers, but the circuit to L2 is not closed, or
/// changes of L2 are not heard of any more, or writes are owed to L2. Unhealthy, or what the registration says: it
/// does not answer, because it was closed. Nothing is sent to L2: what is told is what calls have met. A server that never
/// tells of changes (<c>unavailable</c>) makes hits slower and is not ill; the data has it.
/// </remarks>
/// <param name="cache">The open cache.</param>
public sealed class TokencacheHealthCheck(TokenCache cache) : IHealthCheck
{
    /// <inheritdoc/>
    public Task<HealthCheckResult> CheckHealthAsync(
        HealthCheckContext context,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(context);
        try
        {
            using JsonDocument statistics = JsonDocument.Parse(cache.Stats());
            return Task.FromResult(Judge(statistics.RootElement));
        }
        catch (Exception reason) when (reason is ObjectDisposedException or TokenCacheException)
        {
            return Task.FromResult(
                new HealthCheckResult(context.Registration.FailureStatus, "The cache does not answer.", reason));
        }
    }

    private static HealthCheckResult Judge(JsonElement statistics)
    {
        List<string> troubles = [];
        Dictionary<string, object> data = [];
        if (Text(statistics, "l2", "circuit", "state") is { } circuit)
        {
            data["l2.circuit"] = circuit;
            if (circuit != "closed")
            {
                troubles.Add($"L2 is suspended ({Text(statistics, "l2", "circuit", "reason") ?? circuit})");
            }
        }
        if (Text(statistics, "coherence", "feed") is { } feed)
        {
            data["coherence.feed"] = feed;
            if (feed == "down")
            {
                troubles.Add($"changes of L2 are not heard of ({Text(statistics, "coherence", "reason")})");
            }
        }
        if (Find(statistics, "journal", "owed_entries") is { ValueKind: JsonValueKind.Number } owed)
        {
            data["journal.owed_entries"] = owed.GetInt64();
            if (owed.GetInt64() > 0)
            {
                troubles.Add($"{owed.GetInt64()} writes are owed to L2");
            }
        }
        return troubles.Count == 0
            ? HealthCheckResult.Healthy(null, data)
            : HealthCheckResult.Degraded(string.Join("; ", troubles) + ".", null, data);
    }

    private static string? Text(JsonElement statistics, params ReadOnlySpan<string> path) =>
        Find(statistics, path) is { ValueKind: JsonValueKind.String } text ? text.GetString() : null;

    private static JsonElement Find(JsonElement at, params ReadOnlySpan<string> path)
    {
        foreach (string name in path)
        {
            if (at.ValueKind != JsonValueKind.Object || !at.TryGetProperty(name, out at))
            {
                return default;
            }
        }
        return at;
    }
}
