/* Harmless files that every scanner is tested with. By hash, so that this file isn't found itself. */
import "hash"

rule EICAR_Test_File
{
    meta:
        description = "The EICAR test file, alone or with white space after it"
        reference = "https://www.eicar.org/download-anti-malware-testfile/"
    condition:
        filesize >= 68 and filesize <= 128 and uint32be(0) == 0x58354f21 and
        hash.sha256(0, 68) == "275a021bbfb6489e54d471899f7db9d1663fc695ec2fe2a2c4538aabf651fd0f"
}

rule ClamAV_Test_File
{
    meta:
        description = "clam.exe of Debian's clamav-testfiles, the file inside all the others"
    condition:
        filesize == 544 and uint16be(0) == 0x4d5a and
        hash.sha256(0, filesize) == "71e7b604d18aefd839e51a39c88df8383bb4c071dc31f87f00a2b5df580d4495"
}
