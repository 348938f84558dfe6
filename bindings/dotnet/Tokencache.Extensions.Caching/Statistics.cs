using System;
using System.Collections.Generic;
using System.Text.Json;

namespace Tokencache.Extensions.Caching;

/// <summary>The counters of a cache, read together and parsed once.</summary>
internal sealed class Statistics
{
    private readonly JsonElement _root;

    public Statistics(TokenCache cache)
    {
        using JsonDocument document = JsonDocument.Parse(cache.Stats());
        _root = document.RootElement.Clone();
    }

    /// <summary>The number at a path; 0 where there is none, as where there is no L2.</summary>
    public long Number(params ReadOnlySpan<string> path) =>
        Find(path) is { ValueKind: JsonValueKind.Number } number && number.TryGetInt64(out long value) ? value : 0;

    public string? Text(params ReadOnlySpan<string> path) =>
        Find(path) is { ValueKind: JsonValueKind.String } text ? text.GetString() : null;

    public bool Has(params ReadOnlySpan<string> path) => Find(path).ValueKind is JsonValueKind.Object;

    public IEnumerable<KeyValuePair<string, long>> Numbers(params ReadOnlySpan<string> path)
    {
        List<KeyValuePair<string, long>> numbers = [];
        if (Find(path) is { ValueKind: JsonValueKind.Object } rows)
        {
            foreach (JsonProperty row in rows.EnumerateObject())
            {
                numbers.Add(new(row.Name, row.Value.GetInt64()));
            }
        }
        return numbers;
    }

    private JsonElement Find(ReadOnlySpan<string> path)
    {
        JsonElement at = _root;
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
