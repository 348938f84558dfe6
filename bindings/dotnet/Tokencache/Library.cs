using System;
#if NET
using System.Reflection;
using System.Runtime.CompilerServices;
#endif
using System.Runtime.InteropServices;

#if NET
[assembly: DisableRuntimeMarshalling]
#endif
[assembly: DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories | DllImportSearchPath.AssemblyDirectory)]

namespace Tokencache;

/// <summary>Finds the shared library.</summary>
/// <remarks>
/// On .NET 8 and later the variable TOKENCACHE_LIBRARY names it; elsewhere the runtime's own search decides.
/// </remarks>
internal static class Library
{
    private const string Variable = "TOKENCACHE_LIBRARY";

    private const string Missing =
        "The library tokencache (libtokencache.so, libtokencache.so.1) was found neither beside the program nor in " +
        "the system's library path; install it, or set " + Variable + " to its path.";

    private static string NotFound =>
        RuntimeInformation.IsOSPlatform(OSPlatform.Linux) && RuntimeInformation.ProcessArchitecture == Architecture.X64
            ? Missing
            : Missing + " The package Tokencache.Native has it for Linux on x86-64 alone, and this is " +
                $"{RuntimeInformation.OSDescription} on {RuntimeInformation.ProcessArchitecture}: build it from source here.";

#if NET
    /// <summary>Runs once, before the first call, since every call needs a cache and opening one asks for this.</summary>
    static Library()
    {
        try
        {
            NativeLibrary.SetDllImportResolver(typeof(Library).Assembly, Resolve);
        }
        catch (InvalidOperationException)
        {
            // There can be one alone, and the program has set its own: it knows better.
        }
    }
#endif

    /// <summary>Makes sure that the library is loaded.</summary>
    /// <exception cref="DllNotFoundException">It was not found; the message says where it was looked for.</exception>
    public static void Load()
    {
#if NET
        RuntimeHelpers.RunClassConstructor(typeof(Library).TypeHandle);
#else
        try
        {
            Native.tc_version();
        }
        catch (DllNotFoundException reason)
        {
            throw new DllNotFoundException(NotFound, reason);
        }
#endif
    }

#if NET
    /// <summary>Loads the library that was chosen, or else the first of these names that is found.</summary>
    internal static IntPtr Find(string? chosen, string[] names, Assembly assembly, DllImportSearchPath? path)
    {
        IntPtr library;
        if (!string.IsNullOrEmpty(chosen))
        {
            return NativeLibrary.TryLoad(chosen, out library)
                ? library
                : throw new DllNotFoundException($"{Variable} is \"{chosen}\", which cannot be loaded.");
        }
        foreach (string name in names)
        {
            if (NativeLibrary.TryLoad(name, assembly, path, out library))
            {
                return library;
            }
        }
        throw new DllNotFoundException(NotFound);
    }

    private static IntPtr Resolve(string name, Assembly assembly, DllImportSearchPath? path) =>
        Find(Environment.GetEnvironmentVariable(Variable), [name, "libtokencache.so.1"], assembly, path);
#endif
}
