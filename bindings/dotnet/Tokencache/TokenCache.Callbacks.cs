using System;
using System.Runtime.InteropServices;

namespace Tokencache;

public sealed unsafe partial class TokenCache
{
    /// <summary>
    /// A handler has thrown, on a thread of the library; a retry then follows the configuration. Without a listener it
    /// goes to <see cref="System.Diagnostics.Trace"/>.
    /// </summary>
    public event EventHandler<CallbackFailedEventArgs>? CallbackFailed
    {
        add => _failures.Failed += value;
        remove => _failures.Failed -= value;
    }

    /// <summary>Asks the application what to do when an attempt at L2 has failed, once for each attempt.</summary>
    /// <param name="handler">
    /// It runs on threads of the library, several at once, and may use this cache, <see cref="Configure(string)"/> and
    /// <see cref="Close"/> included; calls made inside it do not ask it again. A caller leaves at its deadline even while
    /// it runs. It is kept until another one takes its place or the cache is closed. Null goes back to
    /// <c>resilience</c> in the configuration.
    /// </param>
    /// <exception cref="ObjectDisposedException">The cache has been closed.</exception>
    public void OnRetry(RetryHandler? handler)
    {
        GCHandle registration = handler is null
            ? default
            : GCHandle.Alloc(new RetryRegistration(handler, _failures));
        Registered(registration, handler is null
            ? Native.tc_on_retry(_cache, IntPtr.Zero, IntPtr.Zero, IntPtr.Zero)
            : Native.tc_on_retry(_cache, Callbacks.Retry, GCHandle.ToIntPtr(registration), Callbacks.Destroy));
    }

    /// <summary>Sends log records to the application instead of to <c>logging.to</c>.</summary>
    /// <param name="handler">
    /// It is kept until another one takes its place or the cache is closed. Null goes back to the configuration.
    /// </param>
    /// <param name="level">The least weight that the handler is given.</param>
    /// <exception cref="TokenCacheException"><paramref name="level"/> is not a level.</exception>
    /// <exception cref="ObjectDisposedException">The cache has been closed.</exception>
    public void OnLog(LogHandler? handler, TokenCacheLogLevel level = TokenCacheLogLevel.Information)
    {
        Native.Level least = (Native.Level)level;
        GCHandle registration = handler is null
            ? default
            : GCHandle.Alloc(new LogRegistration(handler, _failures));
        Registered(registration, handler is null
            ? Native.tc_on_log(_cache, least, IntPtr.Zero, IntPtr.Zero, IntPtr.Zero)
            : Native.tc_on_log(_cache, least, Callbacks.Log, GCHandle.ToIntPtr(registration), Callbacks.Destroy));
    }

    /// <summary>Takes a registration back that the library did not accept.</summary>
    private void Registered(GCHandle registration, Native.Status status)
    {
        GC.KeepAlive(this);
        if (status < 0)
        {
            Exception reason = Failures.Last(status);
            if (registration.IsAllocated)
            {
                registration.Free();
            }
            throw reason;
        }
    }
}
