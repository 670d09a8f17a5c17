package feldspar;

import io.delta.storage.S3SingleDriverLogStore;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileAlreadyExistsException;
import java.util.Arrays;
import java.util.Iterator;
import java.util.UUID;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FSDataOutputStream;
import org.apache.hadoop.fs.FSDataOutputStreamBuilder;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;

/**
 * Delta's log on S3 for any number of drivers: a commit is created by one conditional request.
 *
 * <p>The object carries the name of its write. When the answer to the request is lost, or says
 * that the object is there already (a repeat of a request whose first answer was lost), that name
 * tells whether the commit is this one or another driver's.
 *
 * <p>Compiled by {@code python -m feldspar.launch.log_store}; Janino knows no type arguments.
 */
public class ConditionalLogStore extends S3SingleDriverLogStore {
    private static final String CONDITIONAL = "fs.option.create.conditional.overwrite";
    private static final String WRITE = "feldspar-write";

    public ConditionalLogStore(Configuration conf) {
        super(conf);
    }

    public void write(Path path, Iterator actions, Boolean overwrite, Configuration conf)
            throws IOException {
        if (overwrite.booleanValue()) {
            super.write(path, actions, overwrite, conf);
            return;
        }
        FileSystem fs = path.getFileSystem(conf);
        String write = UUID.randomUUID().toString();
        FSDataOutputStream stream = open(fs, path, write);
        boolean whole = false;
        try {
            while (actions.hasNext()) {
                stream.write((actions.next() + "\n").getBytes(StandardCharsets.UTF_8));
            }
            whole = true;
        } finally {
            if (!whole) {
                // closing would publish a part of the commit
                stream.abort();
            }
        }
        try {
            stream.close();
        } catch (IOException failure) {
            settle(fs, path, write, failure);
        }
    }

    private static FSDataOutputStream open(FileSystem fs, Path path, String write)
            throws IOException {
        FSDataOutputStreamBuilder builder = fs.createFile(path);
        builder.overwrite(false);
        builder.must(CONDITIONAL, true);
        builder.must("fs.s3a.create.header." + WRITE, write);
        try {
            return (FSDataOutputStream) builder.build();
        } catch (org.apache.hadoop.fs.FileAlreadyExistsException there) {
            throw taken(path, there);
        }
    }

    /** Passes when the commit is there and this write's; throws what Delta retries on, or not. */
    private static void settle(FileSystem fs, Path path, String write, IOException failure)
            throws IOException {
        byte[] found;
        try {
            found = fs.getXAttr(path, "header." + WRITE);
        } catch (FileNotFoundException nothing) {
            // not written, or still on its way: the caller must not try under another version
            throw failure;
        } catch (IOException unknown) {
            failure.addSuppressed(unknown);
            throw failure;
        }
        if (!Arrays.equals(write.getBytes(StandardCharsets.UTF_8), found)) {
            // the request is conditional: it can not succeed any more
            throw taken(path, failure);
        }
    }

    private static FileAlreadyExistsException taken(Path path, IOException cause) {
        FileAlreadyExistsException taken = new FileAlreadyExistsException(path.toString());
        taken.initCause(cause);
        return taken;
    }
}
