using System;

namespace Tokencache;

/// <summary>Who is told when a handler of the application throws.</summary>
/// <remarks>
/// Not the cache itself: the library's callbacks reach this for as long as the cache is open, and would keep a cache
/// alive that everybody else has forgotten.
/// </remarks>
internal sealed class CallbackFailures(TokenCache cache)
{
    private readonly WeakReference<TokenCache> _cache = new(cache);

    public event EventHandler<CallbackFailedEventArgs>? Failed;

    public static void Trace(string what, Exception reason)
    {
        try
        {
            System.Diagnostics.Trace.TraceError("{0} of Tokencache threw: {1}", what, reason);
        }
        catch (Exception)
        {
            // A listener of the trace, and there is nobody left to tell.
        }
    }

    /// <summary>Never throws, whatever the listeners do.</summary>
    public void Report(Delegate handler, Exception reason)
    {
        if (Failed is not { } told)
        {
            Trace("A callback", reason);
            return;
        }
        _cache.TryGetTarget(out TokenCache? sender);
        try
        {
            told(sender, new CallbackFailedEventArgs(handler, reason));
        }
        catch (Exception again)
        {
            Trace("A listener of CallbackFailed", again);
        }
    }
}
