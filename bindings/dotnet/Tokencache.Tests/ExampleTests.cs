using System;
using System.Diagnostics;
using System.IO;
using System.Runtime.CompilerServices;
using System.Threading.Tasks;
using Xunit;

namespace Tokencache.Tests;

public class ExampleTests
{
    [Fact]
    public async Task The_first_program_greets()
    {
        DirectoryInfo folder = Directory.CreateTempSubdirectory("tokencache-");
        ProcessStartInfo start = new("dotnet")
        {
            ArgumentList = { "run", "--project", Example("hello") },
            WorkingDirectory = folder.FullName,
            RedirectStandardOutput = true,
        };
        using Process program = Process.Start(start)!;
        string output = await program.StandardOutput.ReadToEndAsync();
        await program.WaitForExitAsync();
        folder.Delete(recursive: true);
        Assert.Equal("alice: made-up-token, from L1", output.Trim());
        Assert.Equal(0, program.ExitCode);
    }

    private static string Example(string name, [CallerFilePath] string here = "") =>
        Path.Combine(Path.GetDirectoryName(here)!, "../../../examples/dotnet", name);
}
