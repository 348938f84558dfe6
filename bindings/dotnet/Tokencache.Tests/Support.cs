using System;
using System.Diagnostics;
using System.IO;
using System.Reflection;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;
using System.Threading;

namespace Tokencache.Tests;

/// <summary>A folder with a database in it that goes with the test, and can go away before.</summary>
public sealed class Folder : IDisposable
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("tokencache-");

    public Folder() => Directory.CreateDirectory(Home);

    public string Home => Path.Combine(_folder.FullName, "home");

    private string Elsewhere => Path.Combine(_folder.FullName, "away");

    /// <summary>Opens a cache with L2 here.</summary>
    public TokenCache Open(int attempts = 2, int closeMs = 60_000) => TokenCache.Open(Document(attempts, closeMs));

    /// <summary>L2 here, with much patience for a machine that has much to do, and asked however often it fails.</summary>
    public string Document(int attempts = 2, int closeMs = 60_000) =>
        $$$"""
        {"version": 1, "l2": {"kind": "sqlite", "path": "{{{Path.Combine(Home, "tokens.db")}}}"},
         "encryption": {"algorithm": "none"}, "logging": {"to": "none"},
         "resilience": {"deadline_ms": 60000, "max_attempts": {{{attempts}}}, "close_ms": {{{closeMs}}},
         "circuit_failures": 0}}
        """;

    /// <summary>Takes the database away: L2 is unreachable.</summary>
    public void TakeAway() => Directory.Move(Home, Elsewhere);

    public void PutBack() => Directory.Move(Elsewhere, Home);

    public void Dispose() => _folder.Delete(recursive: true);
}

internal static class Support
{
    public const string Memory = """{"version": 1, "logging": {"to": "none"}}""";

    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(120);

    public static byte[] Bytes(string text) => Encoding.UTF8.GetBytes(text);

    public static string? Read(TokenCache cache, string key)
    {
        using TokenLease lease = cache.GetLease(key);
        return lease.Found ? Encoding.UTF8.GetString(lease.Span) : null;
    }

    /// <summary>Waits for what must come, and never for a fixed time.</summary>
    public static void Until(Func<bool> condition)
    {
        Stopwatch waited = Stopwatch.StartNew();
        while (!condition())
        {
            if (waited.Elapsed > s_patience)
            {
                throw new TimeoutException($"It did not come within {s_patience.TotalSeconds} s.");
            }
            Thread.Sleep(1);
        }
    }

#if NETSTANDARD_LIBRARY
    // That build leaves it to the runtime to find the library, and a program can help the runtime.
    [ModuleInitializer]
    internal static void ResolveTheLibrary() => NativeLibrary.SetDllImportResolver(
        typeof(TokenCache).Assembly,
        (name, assembly, path) => Environment.GetEnvironmentVariable("TOKENCACHE_LIBRARY") is { } chosen
            ? NativeLibrary.Load(chosen)
            : NativeLibrary.Load(name, assembly, path));
#endif
}
