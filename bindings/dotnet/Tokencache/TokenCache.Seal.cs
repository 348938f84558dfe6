using System;

namespace Tokencache;

public sealed unsafe partial class TokenCache
{
    /// <summary>
    /// Seals the bytes for a key under the active key of the ring, as <c>Set</c> would, and stores nothing: protect on
    /// machine 1, unprotect on machine 2.
    /// </summary>
    /// <param name="key">The key that the envelope is bound to.</param>
    /// <param name="value">The bytes; a null array is an empty value.</param>
    /// <returns>The envelope.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="key"/> is null.</exception>
    /// <exception cref="TokenCacheException">The cache has no key ring.</exception>
    /// <exception cref="ObjectDisposedException">The cache has been closed.</exception>
    public byte[] Protect(string key, ReadOnlySpan<byte> value)
    {
        using Utf8Key utf8 = new(key, stackalloc byte[Utf8Key.StackBytes]);
        IntPtr envelope = IntPtr.Zero;
        fixed (byte* name = utf8.Span)
        fixed (byte* data = value)
        {
            Failures.Check(Native.tc_protect(
                _cache, (IntPtr)name, (UIntPtr)utf8.Span.Length, (IntPtr)data, (UIntPtr)value.Length, &envelope));
        }
        GC.KeepAlive(this);
        using TokenValue sealedValue = new(envelope, false);
        return sealedValue.ToArray();
    }

    /// <summary>Opens an envelope that was sealed for a key, on this machine or another.</summary>
    /// <param name="key">The key that it is bound to.</param>
    /// <param name="envelope">The envelope.</param>
    /// <returns>What it holds, to dispose of; null when it has ended.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="key"/> is null.</exception>
    /// <exception cref="TokenCacheException">It cannot be opened; <c>Status</c> and message say why.</exception>
    /// <exception cref="ObjectDisposedException">The cache has been closed.</exception>
    public TokenValue? Unprotect(string key, ReadOnlySpan<byte> envelope)
    {
        using Utf8Key utf8 = new(key, stackalloc byte[Utf8Key.StackBytes]);
        IntPtr value = IntPtr.Zero;
        fixed (byte* name = utf8.Span)
        fixed (byte* data = envelope)
        {
            Failures.Check(Native.tc_unprotect(
                _cache, (IntPtr)name, (UIntPtr)utf8.Span.Length, (IntPtr)data, (UIntPtr)envelope.Length, &value));
        }
        GC.KeepAlive(this);
        return value == IntPtr.Zero ? null : new TokenValue(value, false);
    }
}
