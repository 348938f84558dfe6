using System;
using System.Diagnostics.CodeAnalysis;

namespace Tokencache;

/// <summary>The checks of arguments, which netstandard2.0 does not have.</summary>
internal static class Throw
{
    public static void IfNull([NotNull] object? argument, string name)
    {
        if (argument is null)
        {
            Null(name);
        }
    }

    public static void IfDisposed([DoesNotReturnIf(true)] bool disposed, string name)
    {
        if (disposed)
        {
            Disposed(name);
        }
    }

    [DoesNotReturn]
    public static void NoEntry() => throw new InvalidOperationException(
        "There is no entry under this key, and so no bytes; ask Found first.");

    [DoesNotReturn]
    private static void Null(string name) => throw new ArgumentNullException(name);

    [DoesNotReturn]
    private static void Disposed(string name) => throw new ObjectDisposedException(name);
}
