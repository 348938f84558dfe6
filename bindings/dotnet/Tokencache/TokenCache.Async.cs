using System;
using System.Buffers;
using System.Threading;
using System.Threading.Tasks;

namespace Tokencache;

// Cancelling ends the wait, not the work: what was handed to the library runs to its end.
public sealed partial class TokenCache
{
    /// <summary>
    /// Reads from L1, then from L2, without blocking. What L1 holds is returned at once, for one small allocation;
    /// <see cref="TryGetAsync(string, IBufferWriter{byte}, CancellationToken)"/> has none.
    /// </summary>
    /// <param name="key">The key; it is copied before this returns.</param>
    /// <param name="cancellationToken">Ends the wait; the read goes on and fills L1.</param>
    /// <returns>The entry, to dispose of; null when there is none that lives.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="key"/> is null.</exception>
    /// <exception cref="TokenCacheException">
    /// Nothing was found and L2 could not be asked, so nobody knows; or the entry in L2 cannot be opened.
    /// </exception>
    /// <exception cref="ObjectDisposedException">The cache has been closed.</exception>
    /// <exception cref="OperationCanceledException">The wait was cancelled.</exception>
    public ValueTask<TokenValue?> GetAsync(string key, CancellationToken cancellationToken = default)
    {
        using Utf8Key utf8 = new(key, stackalloc byte[Utf8Key.StackBytes]);
        return GetAsync(utf8.Span, cancellationToken);
    }

    /// <inheritdoc cref="GetAsync(string, CancellationToken)"/>
    /// <param name="utf8Key">The key's bytes; they are copied before this returns.</param>
    /// <param name="cancellationToken">Ends the wait; the read goes on and fills L1.</param>
    public ValueTask<TokenValue?> GetAsync(
        ReadOnlySpan<byte> utf8Key,
        CancellationToken cancellationToken = default)
    {
        if (cancellationToken.IsCancellationRequested)
        {
            return new(Task.FromCanceled<TokenValue?>(cancellationToken));
        }
        try
        {
            IntPtr value = Peek(utf8Key, out Native.Status status);
            if (value != IntPtr.Zero)
            {
                return new(new TokenValue(value, status == Native.Status.Degraded));
            }
            return new(ReadL2(utf8Key, cancellationToken));
        }
        catch (Exception reason) when (reason is TokenCacheException or ObjectDisposedException)
        {
            return new(Task.FromException<TokenValue?>(reason));
        }
    }

    /// <summary>
    /// Reads from L1, then from L2, without blocking, and copies the bytes to the end of a writer. What L1 holds is
    /// copied before this returns, and nothing is allocated.
    /// </summary>
    /// <param name="key">The key; it is copied before this returns.</param>
    /// <param name="destination">Where the bytes go; nobody else may use it until the task has ended.</param>
    /// <param name="cancellationToken">Ends the wait; nothing is written after that.</param>
    /// <returns>Whether there was a live entry; nothing was written when not.</returns>
    /// <exception cref="ArgumentNullException">An argument is null.</exception>
    /// <exception cref="TokenCacheException">
    /// Nothing was found and L2 could not be asked, so nobody knows; or the entry in L2 cannot be opened.
    /// </exception>
    /// <exception cref="ObjectDisposedException">The cache has been closed.</exception>
    /// <exception cref="OperationCanceledException">The wait was cancelled.</exception>
    public ValueTask<bool> TryGetAsync(
        string key,
        IBufferWriter<byte> destination,
        CancellationToken cancellationToken = default)
    {
        using Utf8Key utf8 = new(key, stackalloc byte[Utf8Key.StackBytes]);
        return TryGetAsync(utf8.Span, destination, cancellationToken);
    }

    /// <inheritdoc cref="TryGetAsync(string, IBufferWriter{byte}, CancellationToken)"/>
    /// <param name="utf8Key">The key's bytes; they are copied before this returns.</param>
    /// <param name="destination">Where the bytes go; nobody else may use it until the task has ended.</param>
    /// <param name="cancellationToken">Ends the wait; nothing is written after that.</param>
    public ValueTask<bool> TryGetAsync(
        ReadOnlySpan<byte> utf8Key,
        IBufferWriter<byte> destination,
        CancellationToken cancellationToken = default)
    {
        Throw.IfNull(destination, nameof(destination));
        if (cancellationToken.IsCancellationRequested)
        {
            return new(Task.FromCanceled<bool>(cancellationToken));
        }
        try
        {
            using TokenLease lease = Peek(utf8Key);
            if (!lease.Found)
            {
                return CopyLater(ReadL2(utf8Key, cancellationToken), destination);
            }
            destination.Write(lease.Span);
            return new(true);
        }
        catch (Exception reason) when (reason is TokenCacheException or ObjectDisposedException)
        {
            return new(Task.FromException<bool>(reason));
        }
    }

    /// <summary>Stores as <c>Set</c> does, without blocking. Two calls are not ordered against each other.</summary>
    /// <param name="key">The key; it is copied before this returns.</param>
    /// <param name="value">The bytes; they are copied before this returns.</param>
    /// <param name="options">How to store them.</param>
    /// <param name="cancellationToken">Ends the wait; it does not take the write back.</param>
    /// <returns>The version written, which is 0 when it had expired already, and whether it is owed to L2.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="key"/> is null.</exception>
    /// <exception cref="ArgumentOutOfRangeException">A time in <paramref name="options"/> is not above zero.</exception>
    /// <exception cref="TokenCacheException">
    /// The value is longer than <c>limits.max_value_bytes</c>; or L2 failed, and the write could not be kept for later.
    /// </exception>
    /// <exception cref="ObjectDisposedException">The cache has been closed.</exception>
    /// <exception cref="OperationCanceledException">The wait was cancelled; nobody knows whether it is stored.</exception>
    public ValueTask<SetResult> SetAsync(
        string key,
        ReadOnlySpan<byte> value,
        in SetOptions options = default,
        CancellationToken cancellationToken = default)
    {
        using Utf8Key utf8 = new(key, stackalloc byte[Utf8Key.StackBytes]);
        return SetAsync(utf8.Span, value, options, cancellationToken);
    }

    /// <inheritdoc cref="SetAsync(string, ReadOnlySpan{byte}, in SetOptions, CancellationToken)"/>
    /// <param name="utf8Key">The key's bytes; they are copied before this returns.</param>
    /// <param name="value">The bytes; they are copied before this returns.</param>
    /// <param name="options">How to store them.</param>
    /// <param name="cancellationToken">Ends the wait; it does not take the write back.</param>
    public ValueTask<SetResult> SetAsync(
        ReadOnlySpan<byte> utf8Key,
        ReadOnlySpan<byte> value,
        in SetOptions options = default,
        CancellationToken cancellationToken = default) =>
        Write(new SetCompletion(), utf8Key, value, options.ToNative(0), cancellationToken);

    /// <summary>Stores as <c>TrySet</c> does, without blocking.</summary>
    /// <param name="key">The key; it is copied before this returns.</param>
    /// <param name="value">The bytes; they are copied before this returns.</param>
    /// <param name="expectedVersion">
    /// The version that must be there, or <see cref="VersionAbsent"/> to store only where no live entry exists.
    /// </param>
    /// <param name="options">How to store them.</param>
    /// <param name="cancellationToken">Ends the wait; it does not take the write back.</param>
    /// <returns>The version written, or null when somebody was faster, and then nothing was written.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="key"/> is null.</exception>
    /// <exception cref="ArgumentOutOfRangeException">
    /// <paramref name="expectedVersion"/> is 0, or a time in <paramref name="options"/> is not above zero.
    /// </exception>
    /// <exception cref="TokenCacheException">
    /// The value is longer than <c>limits.max_value_bytes</c>; or L2 failed, and the write could not be kept for later.
    /// </exception>
    /// <exception cref="ObjectDisposedException">The cache has been closed.</exception>
    /// <exception cref="OperationCanceledException">The wait was cancelled; nobody knows whether it is stored.</exception>
    public ValueTask<ulong?> TrySetAsync(
        string key,
        ReadOnlySpan<byte> value,
        ulong expectedVersion,
        in SetOptions options = default,
        CancellationToken cancellationToken = default)
    {
        using Utf8Key utf8 = new(key, stackalloc byte[Utf8Key.StackBytes]);
        return TrySetAsync(utf8.Span, value, expectedVersion, options, cancellationToken);
    }

    /// <inheritdoc cref="TrySetAsync(string, ReadOnlySpan{byte}, ulong, in SetOptions, CancellationToken)"/>
    /// <param name="utf8Key">The key's bytes; they are copied before this returns.</param>
    /// <param name="value">The bytes; they are copied before this returns.</param>
    /// <param name="expectedVersion">
    /// The version that must be there, or <see cref="VersionAbsent"/> to store only where no live entry exists.
    /// </param>
    /// <param name="options">How to store them.</param>
    /// <param name="cancellationToken">Ends the wait; it does not take the write back.</param>
    public ValueTask<ulong?> TrySetAsync(
        ReadOnlySpan<byte> utf8Key,
        ReadOnlySpan<byte> value,
        ulong expectedVersion,
        in SetOptions options = default,
        CancellationToken cancellationToken = default)
    {
        Expected(expectedVersion);
        return Write(new TrySetCompletion(), utf8Key, value, options.ToNative(expectedVersion), cancellationToken);
    }

    /// <summary>Removes as <c>Remove</c> does, without blocking.</summary>
    /// <param name="key">The key; it is copied before this returns.</param>
    /// <param name="cancellationToken">Ends the wait; it does not bring the entry back.</param>
    /// <returns>Whether it is gone from L2; false while that is owed.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="key"/> is null.</exception>
    /// <exception cref="TokenCacheException">L2 failed, and the removal could not be kept for later.</exception>
    /// <exception cref="ObjectDisposedException">The cache has been closed.</exception>
    /// <exception cref="OperationCanceledException">The wait was cancelled; nobody knows whether it is gone.</exception>
    public ValueTask<bool> RemoveAsync(string key, CancellationToken cancellationToken = default)
    {
        using Utf8Key utf8 = new(key, stackalloc byte[Utf8Key.StackBytes]);
        return RemoveAsync(utf8.Span, cancellationToken);
    }

    /// <inheritdoc cref="RemoveAsync(string, CancellationToken)"/>
    /// <param name="utf8Key">The key's bytes; they are copied before this returns.</param>
    /// <param name="cancellationToken">Ends the wait; it does not bring the entry back.</param>
    public unsafe ValueTask<bool> RemoveAsync(ReadOnlySpan<byte> utf8Key, CancellationToken cancellationToken = default)
    {
        if (cancellationToken.IsCancellationRequested)
        {
            return new(Task.FromCanceled<bool>(cancellationToken));
        }
        RemoveCompletion completion = new();
        fixed (byte* key = utf8Key)
        {
            IntPtr accepted = completion.Start(cancellationToken);
            completion.Started(Native.tc_remove_async(
                _cache, (IntPtr)key, (UIntPtr)utf8Key.Length, Callbacks.Done, accepted));
        }
        GC.KeepAlive(this);
        return new(completion.Task);
    }

    private static async ValueTask<bool> CopyLater(Task<TokenValue?> reading, IBufferWriter<byte> destination)
    {
        using TokenValue? value = await reading.ConfigureAwait(false);
        if (value is null)
        {
            return false;
        }
        destination.Write(value.Span);
        return true;
    }

    private unsafe Task<TokenValue?> ReadL2(ReadOnlySpan<byte> utf8Key, CancellationToken cancellationToken)
    {
        GetCompletion completion = new();
        fixed (byte* key = utf8Key)
        {
            IntPtr accepted = completion.Start(cancellationToken);
            completion.Started(Native.tc_get_async(
                _cache, (IntPtr)key, (UIntPtr)utf8Key.Length, Callbacks.Done, accepted));
        }
        GC.KeepAlive(this);
        return completion.Task;
    }

    private unsafe ValueTask<T> Write<T>(
        Completion<T> completion,
        ReadOnlySpan<byte> utf8Key,
        ReadOnlySpan<byte> value,
        Native.SetOptions options,
        CancellationToken cancellationToken)
    {
        if (cancellationToken.IsCancellationRequested)
        {
            return new(Task.FromCanceled<T>(cancellationToken));
        }
        fixed (byte* key = utf8Key)
        fixed (byte* data = value)
        {
            IntPtr accepted = completion.Start(cancellationToken);
            completion.Started(Native.tc_set_async(
                _cache,
                (IntPtr)key,
                (UIntPtr)utf8Key.Length,
                (IntPtr)data,
                (UIntPtr)value.Length,
                (IntPtr)(&options),
                Callbacks.Done,
                accepted));
        }
        GC.KeepAlive(this);
        return new(completion.Task);
    }
}
