using System;
using System.Runtime.InteropServices;
#if NET
using System.Runtime.CompilerServices;
#endif

namespace Tokencache;

/// <summary>The functions that the library calls, one for each kind of callback, which live as long as the process.</summary>
/// <remarks>
/// What differs is the user data, a <see cref="GCHandle"/> that keeps the managed object alive until the library says
/// that it will not be used again. No exception may leave these functions: it would end the process.
/// </remarks>
internal static unsafe class Callbacks
{
#if NET
    public static IntPtr Done => (IntPtr)(delegate* unmanaged[Cdecl]<IntPtr, IntPtr, void>)&OnDone;

    public static IntPtr Retry =>
        (IntPtr)(delegate* unmanaged[Cdecl]<IntPtr, IntPtr, IntPtr, Native.Decision>)&OnRetry;

    public static IntPtr Log =>
        (IntPtr)(delegate* unmanaged[Cdecl]<IntPtr, Native.Level, IntPtr, IntPtr, void>)&OnLog;

    public static IntPtr Destroy => (IntPtr)(delegate* unmanaged[Cdecl]<IntPtr, void>)&OnDestroy;
#else
    private static readonly Native.DoneFn s_done = OnDone;
    private static readonly Native.RetryFn s_retry = OnRetry;
    private static readonly Native.LogFn s_log = OnLog;
    private static readonly Native.DestroyFn s_destroy = OnDestroy;

    public static IntPtr Done { get; } = Marshal.GetFunctionPointerForDelegate(s_done);

    public static IntPtr Retry { get; } = Marshal.GetFunctionPointerForDelegate(s_retry);

    public static IntPtr Log { get; } = Marshal.GetFunctionPointerForDelegate(s_log);

    public static IntPtr Destroy { get; } = Marshal.GetFunctionPointerForDelegate(s_destroy);
#endif

#if NET
    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
#endif
    private static void OnDone(IntPtr userData, IntPtr result)
    {
        try
        {
            ((Completion)GCHandle.FromIntPtr(userData).Target!).Done(*(Native.Result*)result);
        }
        catch (Exception reason)
        {
            CallbackFailures.Trace("The completion of an asynchronous call", reason);
        }
    }

#if NET
    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
#endif
    private static Native.Decision OnRetry(IntPtr userData, IntPtr failure, IntPtr delayMs)
    {
        try
        {
            return ((RetryRegistration)GCHandle.FromIntPtr(userData).Target!)
                .Decide(*(Native.Failure*)failure, ref *(uint*)delayMs);
        }
        catch (Exception reason)
        {
            CallbackFailures.Trace("The retry callback", reason);
            return Native.Decision.Default;
        }
    }

#if NET
    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
#endif
    private static void OnLog(IntPtr userData, Native.Level level, IntPtr target, IntPtr message)
    {
        try
        {
            ((LogRegistration)GCHandle.FromIntPtr(userData).Target!)
                .Write(level, Text.FromNul(target), Text.FromNul(message));
        }
        catch (Exception reason)
        {
            CallbackFailures.Trace("The log callback", reason);
        }
    }

#if NET
    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
#endif
    private static void OnDestroy(IntPtr userData)
    {
        try
        {
            GCHandle.FromIntPtr(userData).Free();
        }
        catch (Exception reason)
        {
            CallbackFailures.Trace("The end of a callback", reason);
        }
    }
}
