using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Globalization;
using System.Threading;

namespace Tokencache.Conformance;

/// <summary>One cache, and the versions that were captured.</summary>
internal sealed class Runner(string document) : IDisposable
{
    private readonly Dictionary<string, ulong> _versions = new()
    {
        ["zero"] = 0,
        ["absent"] = TokenCache.VersionAbsent,
    };

    private TokenCache _cache = TokenCache.Open(document);

    /// <summary>The answer of one step.</summary>
    public string Answer(string[] step)
    {
        try
        {
            return step switch
            {
                ["set", var key, var value, .. var options] => Set(key, value, options),
                ["get", var key, .. var options] => Describe(Get(key), options),
                ["peek", var key, .. var options] => Describe(Peek(key), options),
                ["get-into", var key, var size] => GetInto(key, Fields.Number(size)),
                ["remaining", var key, var low, var high] => Remaining(key, Fields.Number(low), Fields.Number(high)),
                ["remove", var key] => Remove(key),
                ["touch", var key] => Touch(key) ? Statuses.Ok : Statuses.NotFound,
                ["clear"] => Clear(),
                ["flush"] => _cache.Flush(TimeSpan.FromMinutes(1)) ? Statuses.Ok : Statuses.Degraded,
                ["wait-expired", var key] => WaitExpired(key),
                ["stats", var name] => Stats(name),
                ["compare", var one, var other] => _versions[one] == _versions[other] ? "same" : "different",
                ["reopen"] => Reopen(),
                _ => throw new FormatException($"There is no step {string.Join(' ', step)}."),
            };
        }
        catch (Exception failure) when (Statuses.Of(failure) is not null)
        {
            return Statuses.Of(failure)!;
        }
    }

    public void Close()
    {
        if (!_cache.Close())
        {
            throw new InvalidOperationException("The cache closed with something owed to L2.");
        }
    }

    public void Dispose() => _cache.Dispose();

    private string Set(string key, string value, string[] options)
    {
        SetOptions how = default;
        ulong? expected = null, flags = null;
        string? name = null;
        foreach (string option in options)
        {
            int equals = option.IndexOf('=', StringComparison.Ordinal);
            string rest = option[(equals + 1)..];
            switch (equals < 0 ? option : option[..equals])
            {
                case "ttl":
                    how = how with { TimeToLive = rest == "never" ? Timeout.InfiniteTimeSpan : Fields.Milliseconds(rest) };
                    break;
                case "expires":
                    how = how with { ExpiresAt = DateTimeOffset.UtcNow + Fields.Milliseconds(rest) };
                    break;
                case "sliding":
                    how = how with { Sliding = Fields.Milliseconds(rest) };
                    break;
                case "local":
                    how = how with { LocalOnly = true };
                    break;
                case "if":
                    expected = _versions[rest];
                    break;
                case "flags":
                    flags = ulong.Parse(rest, CultureInfo.InvariantCulture);
                    break;
                case "as":
                    name = rest;
                    break;
                default:
                    throw new FormatException($"There is no option {option}.");
            }
        }
        ulong version = 0;
        string answer = flags is ulong raw ? SetRaw(key, value, raw)
            : expected is ulong seen ? TrySet(key, value, seen, out version, how)
            : Set(key, value, how, out version);
        if (name is not null && answer == Statuses.Ok)
        {
            _versions[name] = version;
        }
        return answer;
    }

    // What is written as text is given as text, here and below.
    private string Set(string key, string value, SetOptions how, out ulong version)
    {
        byte[] bytes = Fields.Decode(value);
        version = Fields.IsText(key) ? _cache.Set(key, bytes, how) : _cache.Set(Fields.Decode(key), bytes, how);
        return Statuses.Ok;
    }

    private string TrySet(string key, string value, ulong expected, out ulong version, SetOptions how)
    {
        byte[] bytes = Fields.Decode(value);
        bool stored = Fields.IsText(key)
            ? _cache.TrySet(key, bytes, expected, out version, how)
            : _cache.TrySet(Fields.Decode(key), bytes, expected, out version, how);
        return stored ? Statuses.Ok : Statuses.Conflict;
    }

    /// <summary>Flags of which the library's layer has no words.</summary>
    private unsafe string SetRaw(string key, string value, ulong flags)
    {
        byte[] keyBytes = Fields.Decode(key), bytes = Fields.Decode(value);
        Native.SetOptions options = new() { StructSize = (nuint)sizeof(Native.SetOptions), Flags = flags };
        fixed (byte* at = keyBytes, data = bytes)
        {
            return Statuses.Name((TokenCacheStatus)Native.tc_set(
                _cache.Handle,
                (nint)at,
                (nuint)keyBytes.Length,
                (nint)data,
                (nuint)bytes.Length,
                (nint)(&options),
                null));
        }
    }

    private TokenLease Get(string key) =>
        Fields.IsText(key) ? _cache.GetLease(key) : _cache.GetLease(Fields.Decode(key));

    private TokenLease Peek(string key) =>
        Fields.IsText(key) ? _cache.Peek(key) : _cache.Peek(Fields.Decode(key));

    private string Describe(TokenLease entry, string[] options)
    {
        using TokenLease lease = entry;
        if (!lease.Found)
        {
            return Statuses.NotFound;
        }
        foreach (string option in options)
        {
            _versions[option["as=".Length..]] = lease.Version;
        }
        string tier = lease.Tier.ToString().ToLowerInvariant();
        return $"{Status(lease)} value={Fields.Encode(lease.Span)} tier={tier} flags={(lease.IsRetiredKey ? 1 : 0)}";
    }

    private string GetInto(string key, int size)
    {
        byte[] buffer = new byte[size];
        int length = Fields.IsText(key)
            ? _cache.GetInto(key, buffer)
            : _cache.GetInto(Fields.Decode(key), buffer);
        return length < 0 ? Statuses.NotFound
            : length > size ? $"{Statuses.BufferTooSmall} length={length}"
            : $"{Statuses.Ok} value={Fields.Encode(buffer.AsSpan(0, length))}";
    }

    private string Remaining(string key, int low, int high)
    {
        using TokenLease lease = Get(key);
        if (!lease.Found)
        {
            return Statuses.NotFound;
        }
        if (lease.ExpiresAt is not { } end)
        {
            return $"{Status(lease)} never";
        }
        double left = (end - DateTimeOffset.UtcNow).TotalMilliseconds;
        return $"{Status(lease)} {(low <= left && left <= high ? "within" : "outside")}";
    }

    private string Remove(string key)
    {
        if (Fields.IsText(key))
        {
            _cache.Remove(key);
        }
        else
        {
            _cache.Remove(Fields.Decode(key));
        }
        return Statuses.Ok;
    }

    private bool Touch(string key) => Fields.IsText(key) ? _cache.Touch(key) : _cache.Touch(Fields.Decode(key));

    private string Clear()
    {
        _cache.Clear();
        return Statuses.Ok;
    }

    private string WaitExpired(string key)
    {
        Stopwatch waited = Stopwatch.StartNew();
        for (int pause = 1; ; pause *= 2)
        {
            using (TokenLease lease = Get(key))
            {
                if (!lease.Found || lease.IsDegraded)
                {
                    return lease.Found ? Statuses.Degraded : Statuses.NotFound;
                }
            }
            if (waited.Elapsed >= TimeSpan.FromMinutes(1))
            {
                return "STILL_THERE";
            }
            Thread.Sleep(pause);
        }
    }

    private string Stats(string name)
    {
        string document = _cache.Stats().Replace(" ", string.Empty, StringComparison.Ordinal);
        bool isPresent = document.Contains($"\"{name}\":", StringComparison.Ordinal);
        return $"{Statuses.Ok} {(isPresent ? "present" : "absent")}";
    }

    private string Reopen()
    {
        Close();
        _cache = TokenCache.Open(document);
        return Statuses.Ok;
    }

    private static string Status(TokenLease lease) => lease.IsDegraded ? Statuses.Degraded : Statuses.Ok;
}
