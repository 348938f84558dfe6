using System;
using System.Diagnostics.CodeAnalysis;

namespace Tokencache.Extensions;

/// <summary>The check of arguments, which netstandard2.0 does not have.</summary>
internal static class Require
{
    public static void NotNull([NotNull] object? argument, string name)
    {
        if (argument is null)
        {
            throw new ArgumentNullException(name);
        }
    }
}
