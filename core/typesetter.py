"""Sets one document and ends: the program that :mod:`core.typesetting` runs for each. It imports none of us.

It reads a request in JSON and writes the document. What goes wrong is said on the error stream, with exit code 1.
"""

import json
import resource
import sys
import warnings

_MOST_MEMORY = 2 * 1024**3
_MOST_SECONDS = 30


def main() -> int:
    # Whatever happens in here must not take the machine with it.
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (_MOST_SECONDS, _MOST_SECONDS))
    import typst  # noqa: PLC0415 (within the limits)

    request = json.load(sys.stdin.buffer)
    fonts = typst.Fonts(
        include_system_fonts=False, include_embedded_fonts=False, font_paths=[str(path) for path in request["fonts"]]
    )
    compiler = typst.Compiler(request["template"], root=request["root"], font_paths=fonts, ignore_system_fonts=True)
    warnings.simplefilter("ignore")
    try:
        made = compiler.compile(
            format=request["format"],
            # As text beside the program and never within it: no name can become a part of the template.
            sys_inputs={"data": request["data"]},
            timestamp=request["created"],
            ppi=request["ppi"],
        )
    except RuntimeError as error:
        sys.stderr.write(str(error))
        return 1
    for page in made if isinstance(made, list) else [made or b""]:
        sys.stdout.buffer.write(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
