"""The platforms that an image can be for, and what each of them is called elsewhere."""

from enum import StrEnum


class Platform(StrEnum):
    """An operating system and a processor, named as the OCI image index names them."""

    LINUX_AMD64 = "linux/amd64"
    LINUX_ARM64 = "linux/arm64"

    @property
    def os(self) -> str:
        """`os` of an OCI platform."""
        return self.value.split("/")[0]

    @property
    def architecture(self) -> str:
        """`architecture` of an OCI platform (GOARCH), which is also what Debian calls it: amd64, arm64."""
        return self.value.split("/")[1]

    @property
    def machine(self) -> str:
        """What uname and wheel tags call it: x86_64, aarch64."""
        return {"amd64": "x86_64", "arm64": "aarch64"}[self.architecture]

    @property
    def multiarch(self) -> str:
        """The GNU triplet that Debian uses in library paths."""
        return f"{self.machine}-linux-gnu"

    @property
    def elf_machine(self) -> int:
        """`e_machine` of an ELF header (System V ABI, processor supplements)."""
        return {"amd64": 62, "arm64": 183}[self.architecture]
