using System;
using System.Text;

namespace Tokencache;

/// <summary>A token cache: memory in front (L1), and behind it a store that processes share (L2).</summary>
/// <remarks>
/// Any method may be called from any thread at any time. A key is its UTF-8: 1 to <c>limits.max_key_bytes</c> bytes of
/// any value, but not beginning with <c>__tokencache:</c>; a text with half of a surrogate pair, which has no UTF-8, is
/// an <see cref="ArgumentException"/>. Bytes that are passed in are copied before a method returns.
/// After <see cref="Dispose"/> methods throw <see cref="ObjectDisposedException"/>; every other failure is a
/// <see cref="TokenCacheException"/>, whose message never holds a token or a raw key.
/// </remarks>
/// <example>
/// <code>
/// using TokenCache cache = TokenCache.Open("""{"version": 1}""");
/// cache.Set("alice", token, new SetOptions { TimeToLive = TimeSpan.FromHours(1) });
/// using TokenLease alice = cache.GetLease("alice");
/// </code>
/// </example>
public sealed unsafe partial class TokenCache : IDisposable
{
    private readonly CacheHandle _owner;
    private readonly IntPtr _cache;
    private readonly CallbackFailures _failures;

    private TokenCache(IntPtr cache)
    {
        _owner = new CacheHandle(cache);
        _cache = cache;
        _failures = new CallbackFailures(this);
    }

    /// <summary>The version of the library, such as <c>1.0.0</c>.</summary>
    /// <exception cref="DllNotFoundException">The library was not found.</exception>
    public static string LibraryVersion
    {
        get
        {
            Library.Load();
            return Text.FromNul(Native.tc_version());
        }
    }

    /// <summary>For tests of what this class has no words for.</summary>
    internal IntPtr Handle => _cache;

    /// <summary>
    /// Opens a cache. Does not wait for an L2 that is busy or away, unless <c>l2.require_at_open</c> says so.
    /// </summary>
    /// <param name="json">The configuration document.</param>
    /// <returns>The cache; dispose of it.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="json"/> is null.</exception>
    /// <exception cref="TokenCacheException">
    /// The document was refused, and the message names the member; or the database cannot be used on this machine; or
    /// the library is of another generation than this assembly.
    /// </exception>
    /// <exception cref="DllNotFoundException">The library was not found.</exception>
    public static TokenCache Open(string json)
    {
        Throw.IfNull(json, nameof(json));
        return Open(Encoding.UTF8.GetBytes(json));
    }

    /// <inheritdoc cref="Open(string)"/>
    /// <param name="utf8Json">The configuration document in UTF-8.</param>
    public static TokenCache Open(ReadOnlySpan<byte> utf8Json)
    {
        Library.Load();
        IntPtr cache = IntPtr.Zero;
        fixed (byte* document = utf8Json)
        {
            // The library refuses a generation that is not its own, so nothing can be called past a mismatch.
            Failures.Check(Native.tc_open(
                Native.AbiVersion, (IntPtr)document, (UIntPtr)utf8Json.Length, &cache));
        }
        return new TokenCache(cache);
    }

    /// <summary>Applies a new document to the open cache, without losing a write.</summary>
    /// <param name="json">The whole configuration document.</param>
    /// <exception cref="ArgumentNullException"><paramref name="json"/> is null.</exception>
    /// <exception cref="TokenCacheException">
    /// It was refused, or a member cannot change while open; nothing was applied.
    /// </exception>
    /// <exception cref="ObjectDisposedException">The cache has been closed.</exception>
    public void Configure(string json)
    {
        Throw.IfNull(json, nameof(json));
        Configure(Encoding.UTF8.GetBytes(json));
    }

    /// <inheritdoc cref="Configure(string)"/>
    /// <param name="utf8Json">The whole configuration document in UTF-8.</param>
    public void Configure(ReadOnlySpan<byte> utf8Json)
    {
        fixed (byte* document = utf8Json)
        {
            Failures.Check(Native.tc_configure(_cache, (IntPtr)document, (UIntPtr)utf8Json.Length));
        }
        GC.KeepAlive(this);
    }

    /// <summary>Waits until nothing is owed to L2.</summary>
    /// <param name="timeout">How long at most, in whole milliseconds; more than 49 days are 49 days.</param>
    /// <returns>Whether everything is in L2; false while something is still owed.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="timeout"/> is below zero.</exception>
    /// <exception cref="ObjectDisposedException">The cache has been closed.</exception>
    public bool Flush(TimeSpan timeout)
    {
        Native.Status status = Native.tc_flush(_cache, Times.Wait(timeout, nameof(timeout)));
        Failures.Check(status);
        GC.KeepAlive(this);
        return status == Native.Status.Ok;
    }

    /// <summary>Empties L1 of this process, local-only entries included. L2 is untouched.</summary>
    /// <exception cref="ObjectDisposedException">The cache has been closed.</exception>
    public void Clear()
    {
        Failures.Check(Native.tc_clear(_cache));
        GC.KeepAlive(this);
    }

    /// <summary>Counters and health.</summary>
    /// <returns>The library's JSON document.</returns>
    /// <exception cref="ObjectDisposedException">The cache has been closed.</exception>
    public string Stats()
    {
        IntPtr json = IntPtr.Zero;
        Failures.Check(Native.tc_stats(_cache, &json));
        GC.KeepAlive(this);
        try
        {
            Native.Value* value = (Native.Value*)json;
            return Text.From((byte*)value->Data, checked((int)value->Len));
        }
        finally
        {
            Native.tc_value_release(json);
        }
    }

    /// <summary>
    /// Brings to L2 what is owed, ends every call and closes; waits for that, for what was accepted and for callbacks that
    /// run at most <c>resilience.close_ms</c>. Values that were read stay valid. In a callback of this cache it takes effect
    /// when the callback returns.
    /// </summary>
    /// <returns>
    /// Whether everything was in L2 when it closed, however often it is asked; true also while another thread closes it.
    /// </returns>
    /// <exception cref="TokenCacheException">The library could not close it.</exception>
    public bool Close() => _owner.CloseAndTell();

    /// <summary>Closes as <see cref="Close"/> does, and says nothing. Doing it again does nothing.</summary>
    public void Dispose() => _owner.Dispose();
}
