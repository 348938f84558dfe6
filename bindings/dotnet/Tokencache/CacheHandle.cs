using System;
using Microsoft.Win32.SafeHandles;

namespace Tokencache;

/// <summary>Closes the cache, once, also when nobody disposed of it.</summary>
/// <remarks>
/// Calls do not go through it: a SafeHandle in a signature costs more than a hit does, and the library itself refuses
/// a handle that was closed.
/// </remarks>
internal sealed class CacheHandle : SafeHandleZeroOrMinusOneIsInvalid
{
    private Exception? _failure;
    private bool _owing;

    public CacheHandle(IntPtr cache)
        : base(ownsHandle: true) => SetHandle(cache);

    /// <summary>Whether everything was in L2 when it closed, however often it is asked; true also while another thread closes it.</summary>
    public bool CloseAndTell()
    {
        Dispose();
        if (_failure is { } failure)
        {
            _failure = null;
            throw failure;
        }
        return !_owing;
    }

    protected override bool ReleaseHandle()
    {
        Native.Status status = Native.tc_close(handle);
        _owing = status == Native.Status.Degraded;
        if (status < 0)
        {
            _failure = Failures.Last(status);
        }
        return status >= 0;
    }
}
