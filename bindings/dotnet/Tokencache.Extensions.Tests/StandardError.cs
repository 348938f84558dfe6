using System;
using System.IO;
using System.Runtime.InteropServices;

namespace Tokencache.Extensions.Tests;

/// <summary>What the process writes to standard error, for as long as this lives.</summary>
internal sealed class StandardError : IDisposable
{
    private readonly string _path;
    private readonly int _before = Dup(2);

    public StandardError(string path)
    {
        _path = path;
        using FileStream file = new(path, FileMode.CreateNew, FileAccess.Write, FileShare.ReadWrite);
        _ = Dup2((int)file.SafeFileHandle.DangerousGetHandle(), 2);
    }

    public string Text => File.ReadAllText(_path);

    public void Dispose() => _ = Dup2(_before, 2);

    [DllImport("libc", EntryPoint = "dup")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int Dup(int descriptor);

    [DllImport("libc", EntryPoint = "dup2")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int Dup2(int descriptor, int onto);
}
